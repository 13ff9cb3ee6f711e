//! Text from outside, made safe to print and to put into pages.

use std::fmt::{self, Write};

/// A mark that is invisible and changes how the text around it is read: zero-width characters and direction overrides.
pub(crate) fn is_invisible_mark(c: char) -> bool {
    matches!(
        c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// Whether a character does not show, or changes how others show: controls (with which a terminal is commanded), marks that turn the
/// direction of a line, those of no width, and notes and tags that no reader sees.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || is_invisible_mark(c)
        || matches!(c, '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text from outside for HTML and SVG, between tags and in quoted attributes: what means something to HTML is written by its name, and
/// what [does not show](is_invisible) as U+FFFD. Not for names of tags or attributes, addresses of links, scripts or styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Html<'a>(pub &'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ if is_invisible(c) => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// At most `max` bytes of the text (and an ellipsis where it was cut), with a space for each character that could break
/// a line of a log, move a cursor or turn the direction of reading.
pub fn printable(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    let unprintable = |c: char| c.is_control() || is_invisible_mark(c);
    if text.contains(unprintable) {
        text = text
            .chars()
            .map(|c| if unprintable(c) { ' ' } else { c })
            .collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_for_html_is_no_markup_and_hides_nothing() {
        let shown = |text: &str| Html(text).to_string();
        assert_eq!(
            shown("<b a=\"1\" b='2'>&\u{7}"),
            "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;\u{fffd}"
        );
        assert_eq!(shown("Zoë 日本 ≥ 5 %"), "Zoë 日本 ≥ 5 %");
        let hidden = "\0\n\u{7f}\u{ad}\u{200b}\u{202e}\u{2066}\u{206f}\u{feff}\u{fffa}\u{e0041}";
        for c in hidden.chars() {
            let text = format!("a{c}b");
            assert_eq!(Html(&text).to_string(), "a\u{fffd}b", "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_stays_text(text in any::<String>()) {
            let shown = Html(&text).to_string();
            prop_assert!(!shown.contains(['<', '>', '"', '\'']));
            prop_assert!(!shown.contains(is_invisible));
            // Read back it is what it was, but for what does not show.
            let read = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&");
            let visible: String = text.chars().map(|c| if is_invisible(c) { '\u{fffd}' } else { c }).collect();
            prop_assert_eq!(read, visible);
        }
    }
}

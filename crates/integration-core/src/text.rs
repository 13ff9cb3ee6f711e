//! Text from outside, made safe to print.

/// A mark that is invisible and changes how the text around it is read: zero-width characters and direction overrides.
pub(crate) fn is_invisible_mark(c: char) -> bool {
    matches!(
        c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
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

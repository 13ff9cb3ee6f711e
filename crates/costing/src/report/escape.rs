//! Text from outside, made harmless for where it is shown. Names of tasks, tags and keys can be anything.

use std::fmt::{self, Write};

use integration_core::is_invisible;

/// The text with a sign in place of every character that does not show.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if is_invisible(c) { '\u{fffd}' } else { c })
        .collect()
}

/// A name for a cell of a Markdown table: as code, so that it mentions nobody and links nowhere. What could mean something to
/// Markdown is written by its number.
pub(crate) struct Markdown<'a>(pub(crate) &'a str);

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.' | ':');
        if !self.0.is_empty() && self.0.chars().all(plain) {
            return write!(f, "`{}`", self.0);
        }
        f.write_str("<code>")?;
        for c in self.0.chars() {
            match c {
                _ if is_invisible(c) => f.write_char('\u{fffd}')?,
                _ if plain(c) && c != ':' || c == ' ' || (!c.is_ascii() && c.is_alphanumeric()) => {
                    f.write_char(c)?
                }
                _ => write!(f, "&#{};", u32::from(c))?,
            }
        }
        f.write_str("</code>")
    }
}

/// A sentence of ours for Markdown that may quote names from outside. Where those could mention somebody or link somewhere, all of
/// it is code.
pub(crate) struct MarkdownText<'a>(pub(crate) &'a str);

impl fmt::Display for MarkdownText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = self.0.to_ascii_lowercase();
        if ["@", "#", "www.", "://", "mailto:", "xmpp:"]
            .iter()
            .any(|sign| lower.contains(sign))
        {
            return Markdown(self.0).fmt(f);
        }
        for c in self.0.chars() {
            let plain = c.is_alphanumeric()
                || matches!(
                    c,
                    ' ' | '.' | ',' | ':' | ';' | '-' | '/' | '%' | '=' | '+' | '(' | ')'
                );
            match c {
                _ if is_invisible(c) => f.write_char('\u{fffd}')?,
                _ if plain => f.write_char(c)?,
                _ => write!(f, "&#{};", u32::from(c))?,
            }
        }
        Ok(())
    }
}

/// One field of text in a CSV file. A spreadsheet takes what begins like a formula for one, so a `'` is put before it; before
/// what begins with a `'` as well, so that it can be told again.
pub(crate) struct Csv<'a>(pub(crate) &'a str);

impl fmt::Display for Csv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Spreadsheets skip spaces, and some take the wide forms of the signs for the signs.
        let first = self
            .0
            .trim_start_matches([' ', '\u{a0}', '\u{3000}'])
            .chars()
            .next();
        let guarded = matches!(
            first,
            Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\'' | '＝' | '＋' | '－' | '＠' | '\0')
        );
        let quoted = guarded
            || self.0.contains([',', ';', '"', '\r', '\n', '\t'])
            || self.0.starts_with(' ')
            || self.0.ends_with(' ');
        if quoted {
            f.write_char('"')?;
        }
        if guarded {
            f.write_char('\'')?;
        }
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\"\"")?,
                '\t' | '\r' | '\n' => f.write_char(c)?,
                _ if is_invisible(c) => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        if quoted {
            f.write_char('"')?;
        }
        Ok(())
    }
}

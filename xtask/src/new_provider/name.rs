//! The name of a provider, and every form the template's own takes.

use std::fmt;

use crate::env_keys;

/// The word the template is written with.
const OF_TEMPLATE: &str = "acme";

/// The longest name: it becomes a part of types, variables and files.
const LONGEST: usize = 32;

/// Words that are no name in Rust. `raw_client` could be one, but nobody wants to read `type_client::TypeClient`.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Names whose variables belong to somebody else already.
const VARIABLES_OF_OTHERS: &[&str] = &["cargo", "git", "http", "https", "rust", "rustup", "ssh", "xdg"];

/// A checked name in kebab case, such as `acme` or `acme-cloud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// Takes a name.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let refuse = |why: String| {
            Err(format!(
                "'{}' cannot be a provider's name: {why}",
                text.escape_debug()
            ))
        };
        if let Some(rest) = text.strip_suffix("-client") {
            return refuse(format!(
                "the crate's name gets `-client` by itself; write `{rest}`"
            ));
        }
        if text.is_empty() || text.len() > LONGEST {
            return refuse(format!("it must have 1 to {LONGEST} characters"));
        }
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !text.split('-').all(is_part) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return refuse(
                "write small letters and digits, words joined by single hyphens, a letter first: `acme` or `acme-cloud`"
                    .to_owned(),
            );
        }
        let name = Self(text.to_owned());
        if KEYWORDS.contains(&text) {
            return refuse("it is a word of the Rust language".to_owned());
        }
        if VARIABLES_OF_OTHERS.contains(&text) || env_keys::is_ours(&format!("{}_API_KEY", name.shouting())) {
            return refuse(format!(
                "the variables {}_… belong to somebody else already",
                name.shouting()
            ));
        }
        Ok(name)
    }

    /// `acme-cloud-client`.
    pub(crate) fn package(&self) -> String {
        format!("{}-client", self.0)
    }

    /// `acme_cloud`.
    fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `ACME_CLOUD`.
    pub(crate) fn shouting(&self) -> String {
        self.snake().to_ascii_uppercase()
    }

    /// `AcmeCloud`.
    fn pascal(&self) -> String {
        self.words().concat()
    }

    /// `Acme Cloud`.
    fn title(&self) -> String {
        self.words().join(" ")
    }

    fn words(&self) -> Vec<String> {
        let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        self.0.split('-').map(capital).collect()
    }

    /// A text of the template with this name in place of the template's: in types and constants, variables, paths of Rust,
    /// names of packages, and prose.
    pub(crate) fn put_into(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some(at) = find_ignoring_case(rest, OF_TEMPLATE) {
            let (before, found) = rest.split_at(at);
            let (word, after) = found.split_at(OF_TEMPLATE.len());
            out.push_str(before);
            let next = after.chars().next();
            let inside_a_word = before.chars().next_back().is_some_and(char::is_alphabetic);
            match word {
                _ if inside_a_word => out.push_str(word),
                "ACME" => out.push_str(&self.shouting()),
                "Acme" if next.is_some_and(char::is_uppercase) => out.push_str(&self.pascal()),
                "Acme" => out.push_str(&self.title()),
                "acme" if next == Some('_') => out.push_str(&self.snake()),
                "acme" => out.push_str(&self.0),
                other => out.push_str(other),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    text.as_bytes()
        .windows(word.len())
        .position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_a_reason() {
        for (name, why) in [
            ("", "1 to 32"),
            (&"a".repeat(33), "1 to 32"),
            ("Acme", "small letters"),
            ("acme_cloud", "small letters"),
            ("-acme", "small letters"),
            ("acme-", "small letters"),
            ("acme--cloud", "small letters"),
            ("7up", "small letters"),
            ("../x", "small letters"),
            ("é", "small letters"),
            ("a b", "small letters"),
            ("acme-client", "write `acme`"),
            ("type", "word of the Rust language"),
            ("gen", "word of the Rust language"),
            ("cargo", "CARGO_"),
            ("openrouter", "OPENROUTER_"),
            ("waypost", "WAYPOST_"),
            ("otel", "OTEL_"),
        ] {
            let error = Name::new(name).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        for name in ["x", "acme", "acme-cloud", "a1-2b", "type-two"] {
            assert!(Name::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn every_form_of_the_templates_name_is_replaced() {
        let name = Name::new("quirk-7even").unwrap();
        for (text, expected) in [
            ("AcmeClient::new", "Quirk7evenClient::new"),
            ("struct AcmeSubject;", "struct Quirk7evenSubject;"),
            ("use acme_client::X", "use quirk_7even_client::X"),
            (
                "\"acme\" acme-client acme-small",
                "\"quirk-7even\" quirk-7even-client quirk-7even-small",
            ),
            ("ACME_API_KEY", "QUIRK_7EVEN_API_KEY"),
            ("Acme's key. Acme", "Quirk 7even's key. Quirk 7even"),
            ("https://api.acme.example", "https://api.quirk-7even.example"),
            ("placmed stays", "placmed stays"),
            ("acme", "quirk-7even"),
            ("no name é", "no name é"),
        ] {
            assert_eq!(name.put_into(text), expected);
        }
        assert_eq!(
            Name::new("acme-two").unwrap().put_into("acme_client"),
            "acme_two_client"
        );
        assert_eq!(name.package(), "quirk-7even-client");
    }
}

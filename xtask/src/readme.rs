//! The example of a crate's README, as rustdoc would run it.

/// A block of Rust in a README.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// The code, hidden lines included.
    pub(crate) code: String,
    /// Whether it is to be compiled and not run.
    pub(crate) no_run: bool,
}

/// The first block that rustdoc takes for a test.
pub(crate) fn first_example(markdown: &str) -> Option<Example> {
    let mut lines = markdown.lines();
    loop {
        let fence = lines
            .by_ref()
            .find_map(|line| line.trim_start().strip_prefix("```"))?;
        let words: Vec<&str> = fence
            .split([',', ' '])
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(|line| !line.trim_start().starts_with("```"))
            .collect();
        let rust = words.iter().all(|word| {
            matches!(*word, "rust" | "no_run" | "should_panic") || word.strip_prefix("edition").is_some()
        });
        if rust {
            let code = body.into_iter().map(shown).collect::<Vec<_>>().join("\n");
            return Some(Example {
                code,
                no_run: words.contains(&"no_run"),
            });
        }
    }
}

/// A hidden line without its mark: `# use x;` is `use x;`, and `##` stands for one `#`.
fn shown(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed == "#" {
        ""
    } else if let Some(hidden) = trimmed.strip_prefix("# ") {
        hidden
    } else if trimmed.starts_with("##") {
        &trimmed[1..]
    } else {
        line
    }
}

/// A whole program: with a `main` of its own the code is left alone, else it is put into one, which may use `?` if the
/// code ends by naming its error, as in `Ok::<(), Error>(())`. What is unused in an example is no fault.
pub(crate) fn program(code: &str) -> String {
    const UNUSED: &str = "#![allow(unused)]\n";
    if code.contains("fn main(") {
        return format!("{UNUSED}{code}");
    }
    let (attributes, body): (Vec<&str>, Vec<&str>) = code
        .lines()
        .partition(|line| line.trim_start().starts_with("#!["));
    let (attributes, body) = (attributes.join("\n"), body.join("\n"));
    if body.trim_end().ends_with("(())") {
        format!(
            "{UNUSED}{attributes}\nfn main() {{\nfn inner() -> core::result::Result<(), impl core::fmt::Debug> {{\n{body}\n}}\n\
             inner().unwrap()\n}}\n"
        )
    } else {
        format!("{UNUSED}{attributes}\nfn main() {{\n{body}\n}}\n")
    }
}

/// Whether the code names a crate: `name::` or `use name`, as a whole word.
pub(crate) fn names_crate(code: &str, name: &str) -> bool {
    let ident = name.replace('-', "_");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(&ident).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + ident.len()..];
        let path = after.starts_with("::");
        let used = code[..at].ends_with("use ") && !after.starts_with(is_word);
        !before.is_some_and(|c| is_word(c) || c == ':') && (path || used)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rust_block_is_found() {
        let text = "# Title\n\n```toml\na = 1\n```\n\n```rust,no_run\n# use costing::Pico;\nlet a = 1;\n#\n## not hidden\n```\n```rust\nsecond\n```\n";
        let example = first_example(text).unwrap();
        assert_eq!(example.code, "use costing::Pico;\nlet a = 1;\n\n# not hidden");
        assert!(example.no_run);
        assert!(!first_example("```rust\nx\n```").unwrap().no_run);
        assert!(
            first_example("```\nx\n```").is_some(),
            "rustdoc takes a block without a language for Rust"
        );
    }

    #[test]
    fn other_blocks_are_no_example() {
        assert_eq!(first_example("no code"), None);
        assert_eq!(
            first_example("```sh\ncargo test\n```\n```rust,ignore\nx\n```\n```text\n```\n"),
            None
        );
    }

    #[test]
    fn attributes_stay() {
        let example = first_example("```\n#[derive(Debug)]\nstruct A;\n#![allow(unused)]\n```").unwrap();
        assert_eq!(example.code, "#[derive(Debug)]\nstruct A;\n#![allow(unused)]");
        assert!(
            program(&example.code)
                .starts_with("#![allow(unused)]\n#![allow(unused)]\nfn main() {\n#[derive(Debug)]")
        );
    }

    #[test]
    fn programs_as_rustdoc_makes_them() {
        assert_eq!(
            program("let a = 1;"),
            "#![allow(unused)]\n\nfn main() {\nlet a = 1;\n}\n"
        );
        let own = "#[tokio::main]\nasync fn main() {}";
        assert_eq!(program(own), format!("#![allow(unused)]\n{own}"));
        let fallible = program("let a: u8 = \"1\".parse()?;\nOk::<(), std::num::ParseIntError>(())\n");
        assert!(fallible.contains("fn inner() -> core::result::Result<(), impl core::fmt::Debug> {"));
        assert!(fallible.contains("inner().unwrap()"));
    }

    #[test]
    fn crates_are_seen_in_code() {
        let code = "use integration_core::Usage;\nuse tokio;\nlet d = rust_decimal::Decimal::ONE;\nmy_costing::x(); a::serde::b();";
        for name in ["integration-core", "tokio", "rust_decimal"] {
            assert!(names_crate(code, name), "{name}");
        }
        for name in ["costing", "serde", "reqwest", "integration"] {
            assert!(!names_crate(code, name), "{name}");
        }
    }
}

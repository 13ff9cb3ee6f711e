//! The guide says what the code does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use integration_core::ErrorKind;

fn page(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_kind_of_error_is_in_the_guide_with_what_waypost_does() {
    let guide = page("docs/integrations/openrouter-setup.md");
    for kind in ErrorKind::ALL {
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| `{kind}` |")));
        let row = row.unwrap_or_else(|| panic!("the guide lacks {kind}"));
        let stops = kind.retry_class() == integration_core::RetryClass::Never;
        assert_eq!(row.contains("| stops |"), stops, "{row}");
        assert_eq!(row.contains("| next model"), !stops, "{row}");
    }
}

#[test]
fn every_variable_of_the_example_file_is_a_promised_one() {
    let example = page(".env.example");
    for name in [
        "OPENROUTER_API_KEY",
        "OPENROUTER_BASE_URL",
        "WAYPOST_LISTEN",
        "WAYPOST_DATA_DIR",
        "WAYPOST_ADMIN_KEY",
    ] {
        assert!(example.contains(name), "{name}");
    }
}

#[test]
fn the_readme_gives_the_two_commands() {
    let readme = page("README.md");
    assert!(readme.contains("cargo run --release -- serve") && readme.contains("cargo xtask test"));
}

//! Recorded data that lives outside the repository.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of a recorded file, below the folder that `WAYPOST_SHARED` names, else below `shared` beside the repository.
///
/// Where it is absent the test is to return at once: it is then skipped, and named as such. `cargo xtask test` collects
/// the names (through the file that `WAYPOST_SKIPPED` names) and prints them at its end.
///
/// # Panics
/// If the file is absent and `WAYPOST_REQUIRE_SHARED` is set: then a skip is a failure.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no caller that could pass the environment in"
)]
#[expect(clippy::panic, reason = "a skip that was forbidden must fail the test")]
#[expect(
    clippy::print_stderr,
    reason = "a skip is told to whoever runs the test alone"
)]
pub fn shared_data(test: &str, relative: &str) -> Option<PathBuf> {
    let root = match std::env::var("WAYPOST_SHARED") {
        Ok(root) => PathBuf::from(root),
        Err(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    if std::env::var("WAYPOST_REQUIRE_SHARED").is_ok() {
        panic!("{test} needs {relative}, which is not in {}", root.display());
    }
    eprintln!("skipped {test}: no {relative} in the shared data");
    if let Ok(list) = std::env::var("WAYPOST_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(list);
        // One short write, so that lines of tests that run at the same time do not mix.
        let _ = file.and_then(|mut file| {
            file.write_all(format!("{test}: no {relative} in the shared data\n").as_bytes())
        });
    }
    None
}

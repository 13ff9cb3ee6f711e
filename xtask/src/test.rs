//! `cargo xtask test`: every test, with the skipped ones named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::env_keys;
use crate::process;
use crate::summary::{Counts, Runner};
use crate::tools;
use crate::workspace::Workspace;

/// How many cases a property test tries in a long run.
const LONG_CASES: &str = "10000";

/// Which tests to run.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Adds the tests marked as long (`#[ignore = "long: …"]`) and tries 10,000 cases in each property test
    #[arg(long)]
    pub(crate) long: bool,
    /// Fails where the shared data is absent, instead of skipping the tests that need it
    #[arg(long)]
    pub(crate) require_shared: bool,
}

/// Runs all tests, then prints the names of the skipped ones and the closing line.
///
/// # Errors
/// If a test failed, or a runner ended without having run them all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let skipped = workspace.target().join("skipped-tests.txt");
    fs::create_dir_all(workspace.target())?;
    fs::write(&skipped, "").with_context(|| format!("cannot write {}", skipped.display()))?;

    let mut counts = Counts::default();
    let mut broken = Vec::new();
    for (runner, mut command) in commands(workspace.root(), options) {
        set_environment(&mut command, workspace.root(), &skipped, options);
        let mut closed = false;
        let mut failed = 0;
        let status = process::stream(&mut command, |line| {
            if let Some(more) = runner.closing_line(line) {
                counts.add(more);
                failed += more.failed;
                closed = true;
            }
        })?;
        // Failed tests are counted; a runner that could not build or start them is not, and must not look like a pass.
        if !status.success() && (failed == 0 || !closed) {
            broken.push(process::spelled(&command));
        }
    }

    let list = fs::read_to_string(&skipped).unwrap_or_default();
    let named = named_skips(&list);
    counts.recount_skipped(named.len() as u64);
    if !named.is_empty() {
        println!("\nskipped:");
        for line in &named {
            println!("  {line}");
        }
    }
    println!();
    if !broken.is_empty() {
        bail!(
            "not all tests ran: `{}` ended before its tests did ({})",
            broken.join("`, `"),
            counts.line()
        );
    }
    println!("{}", counts.line());
    if counts.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

/// The runners, in order: units and integration tests first, then doc tests, which nextest does not run.
fn commands(root: &Path, options: &Options) -> Vec<(Runner, Command)> {
    let mut tests = process::cargo(root);
    let nextest = tools::has_cargo_tool(root, "nextest");
    if nextest {
        tests.args([
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests",
            "pass",
        ]);
        if options.long {
            tests.args(["--run-ignored", "all"]);
        }
    } else {
        tests.args([
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ]);
        if options.long {
            tests.args(["--", "--include-ignored"]);
        }
    }
    let mut docs = process::cargo(root);
    docs.args(["test", "--workspace", "--doc", "--no-fail-fast"]);
    vec![
        (if nextest { Runner::Nextest } else { Runner::Libtest }, tests),
        (Runner::Libtest, docs),
    ]
}

/// Tests see no key, address or data folder of the developer's own, so that none of them can reach a paid service.
pub(crate) fn set_environment(command: &mut Command, root: &Path, skipped: &Path, options: &Options) {
    let of_clients = env_keys::of_clients(root);
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && (env_keys::is_ours(name) || of_clients.contains(name))
            && !env_keys::FOR_TESTS.contains(&name)
            && name != "RUST_LOG"
        {
            command.env_remove(name);
        }
    }
    command.env("WAYPOST_SKIPPED", skipped);
    if let Some(shared) = shared_folder(root) {
        command.env("WAYPOST_SHARED", shared);
    }
    if options.require_shared {
        command.env("WAYPOST_REQUIRE_SHARED", "1");
    }
    if options.long {
        command.env("PROPTEST_CASES", LONG_CASES);
    }
}

/// Where recorded data is: the folder that `WAYPOST_SHARED` names, else `shared` beside the repository, if it is there.
pub(crate) fn shared_folder(root: &Path) -> Option<PathBuf> {
    match process::env("WAYPOST_SHARED") {
        Some(named) => Some(PathBuf::from(named)),
        None => root.join("../shared").canonicalize().ok(),
    }
}

/// Each `test: reason` once, in order.
fn named_skips(text: &str) -> BTreeSet<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(command: &'a Command, name: &str) -> Option<&'a str> {
        command
            .get_envs()
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value)?
            .to_str()
    }

    #[test]
    fn options_reach_the_tests() {
        let mut command = Command::new("true");
        let options = Options {
            long: true,
            require_shared: true,
        };
        set_environment(&mut command, Path::new("."), Path::new("list.txt"), &options);
        assert_eq!(value(&command, "PROPTEST_CASES"), Some("10000"));
        assert_eq!(value(&command, "WAYPOST_REQUIRE_SHARED"), Some("1"));
        assert_eq!(value(&command, "WAYPOST_SKIPPED"), Some("list.txt"));

        let mut command = Command::new("true");
        set_environment(
            &mut command,
            Path::new("."),
            Path::new("list.txt"),
            &Options::default(),
        );
        assert_eq!(value(&command, "PROPTEST_CASES"), None);
        assert_eq!(value(&command, "WAYPOST_REQUIRE_SHARED"), None);
    }

    #[test]
    fn a_long_run_adds_the_ignored_tests_but_not_to_the_doc_tests() {
        let long = commands(
            Path::new("."),
            &Options {
                long: true,
                require_shared: false,
            },
        );
        let spelled: Vec<String> = long
            .iter()
            .map(|(_, command)| process::spelled(command))
            .collect();
        assert!(
            spelled[0].ends_with("--run-ignored all") || spelled[0].ends_with("--include-ignored"),
            "{spelled:?}"
        );
        assert_eq!(spelled[1], "cargo test --workspace --doc --no-fail-fast");
    }

    #[test]
    fn skips_are_named_once() {
        let text = "b: no x in the shared data\na: no y in the shared data\nb: no x in the shared data\n\n";
        let named: Vec<_> = named_skips(text).into_iter().collect();
        assert_eq!(
            named,
            ["a: no y in the shared data", "b: no x in the shared data"]
        );
    }
}

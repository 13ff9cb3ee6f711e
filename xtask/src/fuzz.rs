//! `cargo xtask fuzz`: the fuzz targets under cargo-fuzz, where a nightly compiler and cargo-fuzz are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;
use crate::test;
use crate::workspace::Workspace;

/// What to run for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each target runs, in seconds
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u32,
    /// Fails where a nightly compiler or cargo-fuzz is absent, instead of skipping
    #[arg(long)]
    pub(crate) require: bool,
    /// Only these targets; all of them if none is named
    pub(crate) targets: Vec<String>,
}

/// Runs the targets, one after the other, from the written seeds, the recorded exchanges where they are, and what earlier runs
/// found. Everything it writes is below `target/fuzz`, except the lock file of the fuzz package.
///
/// # Errors
/// If a target fails; its input is kept. A missing tool is no error unless it is required.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    if let Some(missing) = missing_tool() {
        println!("skipped: fuzz ({missing})");
        if options.require {
            bail!("cannot fuzz: {missing}");
        }
        return Ok(());
    }
    let root = workspace.root();
    let all = targets(root)?;
    let chosen = if options.targets.is_empty() {
        &all
    } else {
        &options.targets
    };
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        bail!("there is no target '{unknown}'; there are {}", all.join(", "));
    }
    let work = workspace.target().join("fuzz");
    let recorded = recorded(workspace, &work)?;
    let lock = root.join("fuzz/Cargo.lock");
    if !lock.exists() {
        // The versions the workspace was tested with; what only fuzzing needs is added.
        fs::copy(root.join("Cargo.lock"), &lock).context("cannot copy Cargo.lock")?;
    }
    let mut failed = Vec::new();
    for target in chosen {
        println!("\n{target}: {} s", options.seconds);
        let corpus = work.join("corpus").join(target);
        let artifacts = work.join("artifacts").join(target);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let mut command = cargo_fuzz(root);
        command
            .args(["run", "--target-dir"])
            .arg(work.join("build"))
            .arg(target);
        command.arg(&corpus).arg(root.join("fuzz/seeds").join(target));
        command.args(recorded.iter().map(|folder| folder.join(target)));
        command
            .arg("--")
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args([
                "-max_len=16384",
                "-timeout=20",
                "-rss_limit_mb=4096",
                "-malloc_limit_mb=512",
                "-print_final_stats=1",
                "-verbosity=1",
            ]);
        if process::run(&mut command).is_err() {
            println!(
                "{target} failed; its input is in {}",
                workspace.relative(&artifacts)
            );
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("fuzz targets failed: {}", failed.join(", "));
    }
    println!(
        "\nfuzz: {} targets, {} s each, none failed",
        chosen.len(),
        options.seconds
    );
    Ok(())
}

/// The first tool that is not there.
fn missing_tool() -> Option<&'static str> {
    let toolchains = process::capture(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    if !has_nightly(&toolchains) {
        return Some("no nightly toolchain");
    }
    let version = process::capture(cargo_fuzz(Path::new(".")).arg("--version"));
    version.is_err().then_some("no cargo-fuzz")
}

fn has_nightly(toolchains: &str) -> bool {
    toolchains.lines().any(|line| line.starts_with("nightly-"))
}

/// `cargo fuzz` of the nightly toolchain. The cargo that runs this task is another one, and so are the variables it has set.
fn cargo_fuzz(folder: &Path) -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(folder)
        .args(["run", "nightly", "cargo", "fuzz"]);
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT"] {
        command.env_remove(variable);
    }
    // What the sanitizer remembers of each allocation is most of the memory of a long run otherwise.
    command.env("ASAN_OPTIONS", "malloc_context_size=4:quarantine_size_mb=64");
    command
}

/// The targets that have a folder of seeds.
fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("fuzz/seeds");
    let entries = fs::read_dir(&folder).context("fuzz/seeds cannot be read")?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Writes the recorded exchanges as inputs, where they are; the folder with one folder per target.
fn recorded(workspace: &Workspace, work: &Path) -> anyhow::Result<Option<PathBuf>> {
    let shared = test::shared_folder(workspace.root());
    let Some(exchanges) = shared.map(|shared| shared.join("openrouter/recorded/exchanges.jsonl")) else {
        return Ok(None);
    };
    if !exchanges.is_file() {
        return Ok(None);
    }
    let folder = work.join("recorded");
    let mut command = process::cargo(workspace.root());
    command.args([
        "run",
        "--quiet",
        "-p",
        "waypost-fuzz-bodies",
        "--example",
        "corpus",
        "--",
    ]);
    process::run(command.arg(&exchanges).arg(&folder))?;
    Ok(Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nightly_toolchain_is_seen() {
        assert!(has_nightly(
            "stable-x86_64-unknown-linux-gnu (default)\nnightly-x86_64-unknown-linux-gnu\n"
        ));
        assert!(!has_nightly(
            "stable-x86_64-unknown-linux-gnu\n1.95.0-x86_64-unknown-linux-gnu\n"
        ));
        assert!(!has_nightly(""));
    }

    #[test]
    fn every_target_has_seeds_and_a_source() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let targets = targets(&root).unwrap();
        assert!(targets.len() >= 5, "{targets:?}");
        for target in targets {
            assert!(
                root.join(format!("fuzz/fuzz_targets/{target}.rs")).is_file(),
                "{target}"
            );
        }
    }
}

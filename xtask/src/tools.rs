//! Tools that a task needs and a fresh machine may lack.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::process;

/// Whether `cargo NAME` is on the machine.
pub(crate) fn has_cargo_tool(root: &Path, name: &str) -> bool {
    let mut command = process::cargo(root);
    succeeds(command.args([name, "--version"]))
}

/// Whether a program answers when asked for its version.
pub(crate) fn has_program(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

/// Installs `cargo-NAME` from its source, with the versions its authors tested, unless it is there. Takes minutes.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn need_cargo_tool(root: &Path, name: &str) -> anyhow::Result<()> {
    if has_cargo_tool(root, name) {
        return Ok(());
    }
    println!("cargo-{name} is not on this machine: building it takes some minutes");
    install(root, &format!("cargo-{name}"), None)
}

/// `cargo install` of one package, perhaps of one exact version.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn install(root: &Path, package: &str, version: Option<&str>) -> anyhow::Result<()> {
    let mut command = process::cargo(root);
    command.args(["install", "--locked", package]);
    if let Some(version) = version {
        command.args(["--version", version]);
    }
    process::run(&mut command).with_context(|| format!("cannot install {package}"))
}

/// Installs a Debian package, where there is `apt-get` and the right to use it.
///
/// # Errors
/// If there is not, or it fails; the message says what to install by hand.
pub(crate) fn need_debian_package(package: &str) -> anyhow::Result<()> {
    println!("{package} is not on this machine: installing it");
    // The first try works where the lists are fresh; otherwise fetch them, once.
    let get = |words: &[&str]| {
        process::run(
            Command::new("apt-get")
                .args(words)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    let install = || get(&["install", "-y", "-q", "--no-install-recommends", package]);
    if install().is_ok() || (get(&["update", "-q"]).is_ok() && install().is_ok()) {
        return Ok(());
    }
    bail!("install the package {package} (on Debian: `apt-get install {package}`), then run this again")
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_missing() {
        assert!(!has_program("no-such-program-anywhere"));
        assert!(!has_cargo_tool(Path::new("."), "no-such-tool-anywhere"));
        assert!(has_cargo_tool(Path::new("."), "metadata") || has_program("cargo"));
    }
}

//! `cargo xtask coverage`: lines covered in each crate, by the tests that need nothing from outside the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::process;
use crate::table::Table;
use crate::test;
use crate::tools;
use crate::workspace::{self, Workspace};

/// Every crate in `crates/`, and the template of new ones, covers more than this share of its lines, in per cent.
const FLOOR: f64 = 85.0;

#[derive(Debug, Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    filename: PathBuf,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        if self.count == 0 {
            100.0
        } else {
            100.0 * self.covered as f64 / self.count as f64
        }
    }
}

/// Runs the tests under instrumentation, without the shared data, and prints a line per crate.
///
/// # Errors
/// If a tool is missing and cannot be installed, a test fails, or a crate is under the floor.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let root = workspace.root();
    tools::need_cargo_tool(root, "llvm-cov")?;
    let (cov, profdata) = llvm_tools(root)?;
    let report = workspace.target().join("coverage.json");
    fs::create_dir_all(workspace.target())?;

    let skipped = workspace.target().join("coverage-skipped-tests.txt");
    fs::write(&skipped, "")?;
    let mut command = process::cargo(root);
    command.arg("llvm-cov");
    if tools::has_cargo_tool(root, "nextest") {
        command.args(["nextest", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
    } else {
        command.args(["--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    command
        .args(["--json", "--summary-only", "--output-path"])
        .arg(&report);
    test::set_environment(&mut command, root, &skipped, &test::Options::default());
    command.env("WAYPOST_SHARED", workspace.target().join("no-shared-data"));
    command.env("LLVM_COV", cov).env("LLVM_PROFDATA", profdata);
    process::run(&mut command)?;

    let export: Export =
        serde_json::from_str(&fs::read_to_string(&report)?).context("cannot read the coverage")?;
    let folders: Vec<(String, PathBuf)> = workspace
        .members()
        .into_iter()
        .map(|package| (package.name.to_string(), workspace::folder(package).to_path_buf()))
        .collect();
    let lines = by_member(&export, &folders);
    let held: Vec<String> = workspace
        .crates_and_template()
        .into_iter()
        .map(|package| package.name.to_string())
        .collect();
    let (table, under) = judge(&lines, &held);
    println!("\nLines covered, without the shared data:\n\n{}", table.text());
    if !under.is_empty() {
        bail!("not above {FLOOR} %: {}", under.join(", "));
    }
    println!("every crate is above {FLOOR} %");
    Ok(())
}

/// Lines of the files in each member's `src`.
fn by_member(export: &Export, folders: &[(String, PathBuf)]) -> BTreeMap<String, Lines> {
    let mut members: BTreeMap<String, Lines> = BTreeMap::new();
    for file in export.data.iter().flat_map(|data| &data.files) {
        let owner = folders
            .iter()
            .find(|(_, folder)| file.filename.starts_with(folder.join("src")));
        if let Some((name, _)) = owner {
            let lines = members.entry(name.clone()).or_default();
            lines.count += file.summary.lines.count;
            lines.covered += file.summary.lines.covered;
        }
    }
    members
}

/// The table, and the crates that are held to the floor and do not reach above it.
fn judge(members: &BTreeMap<String, Lines>, held: &[String]) -> (Table, Vec<String>) {
    let mut table = Table::new(&["crate", "lines", "covered", "per cent", "floor"]);
    let mut under = Vec::new();
    for name in held
        .iter()
        .chain(members.keys().filter(|name| !held.contains(name)))
    {
        let lines = members.get(name).copied().unwrap_or_default();
        let is_held = held.contains(name);
        // A crate without a counted line was not measured, and is not good.
        let good = lines.count > 0 && lines.percent() > FLOOR;
        if is_held && !good {
            under.push(name.clone());
        }
        let floor = match (is_held, good) {
            (true, true) => "ok",
            (true, false) => "under",
            (false, _) => "not held to it",
        };
        let percent = format!("{:.1}", lines.percent());
        table.row([
            name.clone(),
            lines.count.to_string(),
            lines.covered.to_string(),
            percent,
            floor.to_owned(),
        ]);
    }
    (table, under)
}

/// `llvm-cov` and `llvm-profdata` of the compiler's LLVM version: as the environment says, else from Debian's package.
fn llvm_tools(root: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    if let (Some(cov), Some(profdata)) = (process::env("LLVM_COV"), process::env("LLVM_PROFDATA")) {
        return Ok((cov.into(), profdata.into()));
    }
    let compiler = process::env("RUSTC").unwrap_or_else(|| "rustc".to_owned());
    let version = process::capture(Command::new(compiler).arg("-vV").current_dir(root))?;
    let major = llvm_major(&version).context("the compiler does not say which LLVM it uses")?;
    if let Some(found) = find_llvm(major) {
        return Ok(found);
    }
    tools::need_debian_package(&format!("llvm-{major}"))?;
    find_llvm(major).with_context(|| {
        format!("set LLVM_COV and LLVM_PROFDATA to llvm-cov and llvm-profdata of LLVM {major}: they were not found")
    })
}

fn find_llvm(major: u32) -> Option<(PathBuf, PathBuf)> {
    let candidates = [
        (
            format!("/usr/bin/llvm-cov-{major}"),
            format!("/usr/bin/llvm-profdata-{major}"),
        ),
        (
            format!("/usr/lib/llvm-{major}/bin/llvm-cov"),
            format!("/usr/lib/llvm-{major}/bin/llvm-profdata"),
        ),
    ];
    let found = |(cov, profdata): &(String, String)| tools::has_program(cov) && Path::new(profdata).exists();
    candidates
        .into_iter()
        .find(found)
        .map(|(cov, profdata)| (cov.into(), profdata.into()))
}

/// From `LLVM version: 22.1.2`.
fn llvm_major(verbose_version: &str) -> Option<u32> {
    let version = verbose_version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_llvm_is_read() {
        assert_eq!(
            llvm_major("rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n"),
            Some(22)
        );
        assert_eq!(llvm_major("rustc 1.95.0"), None);
    }

    #[test]
    fn lines_are_added_up_by_member_and_held_to_the_floor() {
        let file = |name: &str, count: u64, covered: u64| {
            format!(
                r#"{{"filename":"{name}","summary":{{"lines":{{"count":{count},"covered":{covered},"percent":1.0}}}}}}"#
            )
        };
        let json = format!(
            r#"{{"data":[{{"files":[{},{},{},{},{}],"totals":{{}}}}],"type":"x","version":"3"}}"#,
            file("/w/crates/a/src/lib.rs", 100, 90),
            file("/w/crates/a/src/b/c.rs", 100, 80),
            file("/w/crates/a-client/src/lib.rs", 10, 10),
            file("/w/xtask/src/main.rs", 10, 0),
            file("/elsewhere/src/lib.rs", 10, 0)
        );
        let export: Export = serde_json::from_str(&json).unwrap();
        let folders = ["crates/a", "crates/a-client", "crates/empty", "xtask"].map(|path| {
            (
                path.rsplit('/').next().unwrap_or_default().to_owned(),
                Path::new("/w").join(path),
            )
        });
        let members = by_member(&export, &folders);
        assert_eq!(
            members.get("a"),
            Some(&Lines {
                count: 200,
                covered: 170
            })
        );
        assert_eq!(members.len(), 3);

        let held = ["a", "a-client", "empty"].map(str::to_owned);
        let (table, under) = judge(&members, &held);
        assert_eq!(
            under,
            ["a", "empty"],
            "exactly the floor is not above it, and nothing measured is not good"
        );
        assert!(table.text().contains("not held to it"));
    }
}

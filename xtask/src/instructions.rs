//! Instruction counts under valgrind: the same on a busy machine as on an idle one.

use anyhow::{Context, bail};

use crate::process;
use crate::table::Table;
use crate::tools;
use crate::workspace::Workspace;

const PACKAGE: &str = "waypost-benches";
const BENCH: &str = "instructions";

/// Runs the bench and gives its summary as Markdown.
///
/// # Errors
/// If a tool is missing and cannot be installed, or the bench fails.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<String> {
    let root = workspace.root();
    if !tools::has_program("valgrind") {
        tools::need_debian_package("valgrind")?;
    }
    let library = locked_version(workspace, "gungraun")?;
    // The runner and the library speak a private language; only equal versions understand each other.
    let installed = process::capture(process::cargo(root).args(["install", "--list"]))?;
    if !installed
        .lines()
        .any(|line| line.starts_with(&format!("gungraun-runner v{library}:")))
    {
        println!("gungraun-runner {library} is not on this machine: building it takes some minutes");
        tools::install(root, "gungraun-runner", Some(&library))?;
    }

    let mut lines = Vec::new();
    let mut command = process::cargo(root);
    command.args(["bench", "-p", PACKAGE, "--features", BENCH, "--bench", BENCH]);
    let status = process::stream(&mut command, |line| lines.push(line.to_owned()))?;
    if !status.success() {
        bail!("counting instructions failed");
    }
    let counts = read_counts(&lines);
    if counts.is_empty() {
        bail!("the bench ran and counted nothing");
    }
    let mut table = Table::new(&["bench", "instructions"]);
    for (bench, count) in counts {
        table.row([bench, grouped(count)]);
    }
    println!("\n{}", table.text());
    Ok(table.markdown())
}

fn locked_version(workspace: &Workspace, package: &str) -> anyhow::Result<String> {
    let lock =
        std::fs::read_to_string(workspace.root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let lock: toml::Table = lock.parse().context("cannot understand Cargo.lock")?;
    let packages = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .context("Cargo.lock names no package")?;
    let text =
        |entry: &toml::Value, key: &str| entry.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let found = packages
        .iter()
        .find(|entry| text(entry, "name").as_deref() == Some(package));
    found
        .and_then(|entry| text(entry, "version"))
        .with_context(|| format!("{package} is not in Cargo.lock"))
}

/// A name at the start of a line, then, indented, what was counted: `Instructions:   1779|1790   (-0.6%)`.
fn read_counts(lines: &[String]) -> Vec<(String, u64)> {
    let mut counts = Vec::new();
    let mut name = None;
    for line in lines {
        if let Some(rest) = line.trim_start().strip_prefix("Instructions:") {
            let count = rest.split('|').next().and_then(|count| count.trim().parse().ok());
            if let (Some(name), Some(count)) = (name.take(), count) {
                counts.push((name, count));
            }
        } else if line.contains("::") && !line.starts_with(' ') {
            name = Some(short_name(line));
        }
    }
    counts
}

/// `instructions::group::function id:(arguments)` as `group/function/id`.
fn short_name(line: &str) -> String {
    let (path, id) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts: Vec<&str> = path.split("::").skip(1).collect();
    let id = id.split(":(").next().unwrap_or_default().trim();
    if !id.is_empty() {
        parts.push(id);
    }
    parts.join("/")
}

/// `1234567` as `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_runner() {
        let output = "i::adds::sum small:(setup(10))\n  Instructions:     51|N/A      (*********)\n  L1 Hits:   63|N/A\n\
                      i::adds::sum large:(setup(1000))\n  Instructions:    1779|1790    (-0.61453%)\n  LL Hits:  0|0\n\
                      i::adds::plain\n  Instructions:    7|7    (No change)\nGungraun result: Ok. 2 without regressions";
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        assert_eq!(
            read_counts(&lines),
            [
                ("adds/sum/small".to_owned(), 51),
                ("adds/sum/large".to_owned(), 1779),
                ("adds/plain".to_owned(), 7)
            ]
        );
    }

    #[test]
    fn large_counts_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1_234), "1,234");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

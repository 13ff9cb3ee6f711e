//! `cargo xtask bench`: all benches, then one summary a person can read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::check::now;
use crate::instructions;
use crate::process;
use crate::table::Table;
use crate::workspace::Workspace;

/// Which benches to run.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Counts instructions under valgrind instead of measuring time
    #[arg(long)]
    pub(crate) instructions: bool,
    /// Puts the summary into docs/benchmarks.md
    #[arg(long)]
    pub(crate) write: bool,
}

/// What criterion says of one bench: its identity.
#[derive(Debug, Deserialize)]
struct Identity {
    full_id: String,
    throughput: Option<Throughput>,
}

/// What criterion says of one bench: its time in nanoseconds.
#[derive(Debug, Deserialize)]
struct Estimates {
    mean: Estimate,
    slope: Option<Estimate>,
}

#[derive(Clone, Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Clone, Debug, Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

#[derive(Debug, Deserialize)]
enum Throughput {
    Bytes(u64),
    BytesDecimal(u64),
    Elements(u64),
    #[serde(untagged)]
    Other(serde::de::IgnoredAny),
}

/// A number that a bench prints itself: `ratio: NAME VALUE`, `alloc: NAME COUNT`, `share: NAME VALUE` from 0 to 1, or
/// `seconds: NAME VALUE` of what is measured once. A name may end with what the value must be below: `(limit 1.30)`.
#[derive(Debug, PartialEq)]
struct Printed {
    kind: &'static str,
    name: String,
    limit: Option<f64>,
    value: f64,
    shown: String,
}

/// Runs the benches and prints the summary.
///
/// # Errors
/// If a bench fails, a number is over its limit, or the document cannot be written.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let (section, (body, over)) = if options.instructions {
        ("instructions", (instructions::run(workspace)?, Vec::new()))
    } else {
        ("time", time(workspace)?)
    };
    if options.write {
        let path = workspace.root().join("docs/benchmarks.md");
        let old = fs::read_to_string(&path).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
        let command = if options.instructions {
            "cargo xtask bench --instructions --write"
        } else {
            "cargo xtask bench --write"
        };
        let text = format!("Command: `{command}`. {}\n\n{body}", machine(workspace.root())?);
        fs::write(&path, replace_section(&old, section, &text)).context("cannot write docs/benchmarks.md")?;
        println!("\nwrote {}", workspace.relative(&path));
    }
    if !over.is_empty() {
        bail!("over the limit: {}", over.join("; "));
    }
    Ok(())
}

/// Wall time by criterion: the summary as Markdown, and which numbers are over their limits.
fn time(workspace: &Workspace) -> anyhow::Result<(String, Vec<String>)> {
    let started = now();
    let mut printed = Vec::new();
    let mut command = process::cargo(workspace.root());
    command.args(["bench", "--workspace"]);
    let status = process::stream(&mut command, |line| printed.extend(read_printed(line)))?;
    if !status.success() {
        bail!("a bench failed");
    }
    let minutes = now().saturating_sub(started).as_secs_f64() / 60.0;

    let mut times = Table::new(&["bench", "time", "from", "to", "throughput"]);
    let results = workspace.target().join("criterion");
    let mut rows = Vec::new();
    for folder in finished_benches(&results, started.as_secs())? {
        let identity: Identity = read_json(&folder.join("benchmark.json"))?;
        let estimates: Estimates = read_json(&folder.join("estimates.json"))?;
        rows.push(row(&identity, &estimates));
    }
    rows.sort();
    rows.into_iter().for_each(|cells| times.row(cells));
    let mut numbers = Table::new(&["measured by the bench itself", "kind", "value", "limit"]);
    let mut over = Vec::new();
    for number in printed {
        let limit = number.limit.map(|limit| limit.to_string()).unwrap_or_default();
        if number.limit.is_some_and(|limit| number.value >= limit) {
            over.push(format!("{} {} of {limit}", number.name, number.shown));
        }
        numbers.row([number.name, number.kind.to_owned(), number.shown, limit]);
    }

    println!(
        "\n{}\n{}\nall benches ran in {minutes:.1} minutes",
        times.text(),
        numbers.text()
    );
    let mut markdown = times.markdown();
    if !numbers.is_empty() {
        markdown.push_str(&format!("\n{}", numbers.markdown()));
    }
    Ok((
        format!("{markdown}\nThe whole run took {minutes:.1} minutes.\n"),
        over,
    ))
}

/// The `new` folders that criterion wrote since the run began.
fn finished_benches(folder: &Path, since: u64) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
        {
            let estimates = path.join("estimates.json");
            if path.file_name().is_some_and(|name| name == "new") && estimates.is_file() {
                let written = fs::metadata(&estimates)?
                    .modified()?
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                if written.as_secs() >= since {
                    found.push(path);
                }
            } else {
                folders.push(path);
            }
        }
    }
    Ok(found)
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
}

fn row(identity: &Identity, estimates: &Estimates) -> Vec<String> {
    // The slope, where criterion has one, is free of the cost of the measurement itself.
    let estimate = estimates.slope.as_ref().unwrap_or(&estimates.mean);
    let per_second = |count: u64| count as f64 / (estimate.point_estimate / 1e9);
    let throughput = match identity.throughput {
        Some(Throughput::Bytes(count) | Throughput::BytesDecimal(count)) => scaled(per_second(count), "B/s"),
        Some(Throughput::Elements(count)) => scaled(per_second(count), "/s"),
        Some(Throughput::Other(_)) | None => String::new(),
    };
    vec![
        identity.full_id.clone(),
        nanoseconds(estimate.point_estimate),
        nanoseconds(estimate.confidence_interval.lower_bound),
        nanoseconds(estimate.confidence_interval.upper_bound),
        throughput,
    ]
}

/// `1234.5` as `1.23 µs`.
fn nanoseconds(value: f64) -> String {
    match value {
        v if v < 1e3 => format!("{v:.1} ns"),
        v if v < 1e6 => format!("{:.2} µs", v / 1e3),
        v if v < 1e9 => format!("{:.2} ms", v / 1e6),
        v => format!("{:.2} s", v / 1e9),
    }
}

/// A number per second in powers of a thousand.
fn scaled(value: f64, unit: &str) -> String {
    match value {
        v if v < 1e3 => format!("{v:.0} {unit}"),
        v if v < 1e6 => format!("{:.1} k{unit}", v / 1e3),
        v if v < 1e9 => format!("{:.1} M{unit}", v / 1e6),
        v => format!("{:.2} G{unit}", v / 1e9),
    }
}

fn read_printed(line: &str) -> Option<Printed> {
    let (kind, rest) = ["ratio", "alloc", "share", "seconds"]
        .into_iter()
        .find_map(|kind| {
            let rest = line.trim_start().strip_prefix(kind)?.strip_prefix(": ")?;
            Some((kind, rest.trim()))
        })?;
    let (name, shown) = rest.rsplit_once(' ')?;
    let value = shown.parse().ok()?;
    let (name, limit) = match name.trim().rsplit_once(" (limit ") {
        Some((name, limit)) => (name, Some(limit.strip_suffix(')')?.parse().ok()?)),
        None => (name.trim(), None),
    };
    Some(Printed {
        kind,
        name: name.to_owned(),
        limit,
        value,
        shown: shown.to_owned(),
    })
}

/// What the numbers were measured on, and when.
fn machine(root: &Path) -> anyhow::Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_model(&cpus).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let compiler = process::capture(Command::new("rustc").arg("--version").current_dir(root))?;
    let date = civil_date(now().as_secs() / 86_400);
    // An archive without its history has no commit to name.
    let mut git = Command::new("git");
    let git = git.args(["rev-parse", "--short", "HEAD"]).current_dir(root);
    let commit = process::capture(git).unwrap_or_else(|_| "unknown".to_owned());
    Ok(format!(
        "Machine: {model}, {cores} cores, {}. Commit: {}. Date: {date}.",
        compiler.trim(),
        commit.trim()
    ))
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

/// Days since 1970-01-01 as a date of the Gregorian calendar, in UTC.
fn civil_date(days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut rest) = (1970, days);
    while rest >= if leap(year) { 366 } else { 365 } {
        rest -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for length in lengths {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", rest + 1)
}

/// The document with one section replaced, or added at its end; everything else stays as people wrote it.
fn replace_section(document: &str, section: &str, body: &str) -> String {
    let (begin, end) = (
        format!("<!-- {section}: begin -->"),
        format!("<!-- {section}: end -->"),
    );
    let fresh = format!("{begin}\n\n{}\n\n{end}", body.trim());
    let found = document.find(&begin).and_then(|from| {
        let to = document[from..].find(&end)? + from + end.len();
        Some((from, to))
    });
    match found {
        Some((from, to)) => format!("{}{fresh}{}", &document[..from], &document[to..]),
        None => {
            let title = if section == "time" {
                "Wall time"
            } else {
                "Instruction counts"
            };
            format!("{}\n\n## {title}\n\n{fresh}\n", document.trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterions_files_become_a_row() {
        let identity: Identity = serde_json::from_str(
            r#"{"group_id":"sse","function_id":"8MB","value_str":null,"throughput":{"Bytes":8000000},"full_id":"sse/8MB",
            "directory_name":"sse/8MB","title":"sse/8MB"}"#,
        )
        .unwrap();
        let estimate = |point: f64| {
            format!(
                r#"{{"confidence_interval":{{"confidence_level":0.95,"lower_bound":{},"upper_bound":{}}},
                "point_estimate":{point},"standard_error":1.0}}"#,
                point * 0.9,
                point * 1.1
            )
        };
        let json = format!(
            r#"{{"mean":{},"median":{},"slope":null}}"#,
            estimate(4e6),
            estimate(9e9)
        );
        let estimates: Estimates = serde_json::from_str(&json).unwrap();
        assert_eq!(
            row(&identity, &estimates),
            ["sse/8MB", "4.00 ms", "3.60 ms", "4.40 ms", "2.00 GB/s"]
        );

        let json = format!(r#"{{"mean":{},"slope":{}}}"#, estimate(4e6), estimate(1234.5));
        let estimates: Estimates = serde_json::from_str(&json).unwrap();
        let identity = Identity {
            full_id: "x".to_owned(),
            throughput: serde_json::from_str(r#"{"Bits":9}"#).unwrap(),
        };
        assert_eq!(
            row(&identity, &estimates)[1..],
            ["1.23 µs", "1.11 µs", "1.36 µs", ""]
        );
    }

    #[test]
    fn numbers_have_units_of_their_size() {
        assert_eq!(nanoseconds(12.34), "12.3 ns");
        assert_eq!(nanoseconds(2.5e9), "2.50 s");
        assert_eq!(scaled(999.0, "/s"), "999 /s");
        assert_eq!(scaled(1_500_000.0, "B/s"), "1.5 MB/s");
    }

    #[test]
    fn printed_numbers_are_collected() {
        let printed = read_printed("ratio: one call over bare reqwest 1.07").unwrap();
        assert_eq!(
            (printed.kind, printed.name.as_str(), printed.value, printed.limit),
            ("ratio", "one call over bare reqwest", 1.07, None)
        );
        let printed = read_printed("ratio: a stream, at once (limit 1.30) 0.90").unwrap();
        assert_eq!(
            (printed.name.as_str(), printed.shown.as_str(), printed.limit),
            ("a stream, at once", "0.90", Some(1.3))
        );
        assert_eq!(read_printed("alloc: cost 0").unwrap().kind, "alloc");
        let share = read_printed("share: certified saving at a loss of 0.02, synthetic 0.412").unwrap();
        assert_eq!((share.kind, share.value), ("share", 0.412));
        let seconds = read_printed("seconds: training (limit 30) 6.10").unwrap();
        assert_eq!((seconds.kind, seconds.limit), ("seconds", Some(30.0)));
        assert_eq!(read_printed("ratio: without a number"), None);
        assert_eq!(read_printed("ratios: x 1"), None);
        assert_eq!(read_printed("time: [1 ns 2 ns]"), None);
    }

    #[test]
    fn days_are_dates() {
        for (days, date) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_687, "2026-08-22"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(civil_date(days), date);
        }
    }

    #[test]
    fn one_section_is_replaced_and_the_rest_stays() {
        let first = replace_section("# Benchmarks\n\nBy hand.\n", "time", "| a |");
        assert_eq!(
            first,
            "# Benchmarks\n\nBy hand.\n\n## Wall time\n\n<!-- time: begin -->\n\n| a |\n\n<!-- time: end -->\n"
        );
        let both = replace_section(&first, "instructions", "| i |");
        let again = replace_section(&both, "time", "| b |\n");
        assert!(again.contains("By hand.") && again.contains("| b |") && again.contains("| i |"));
        assert!(!again.contains("| a |"));
        assert_eq!(replace_section(&again, "time", "| b |"), again);
    }

    #[test]
    fn the_processor_is_named() {
        assert_eq!(
            cpu_model("processor\t: 0\nmodel name\t: Fast One @ 3 GHz\n"),
            Some("Fast One @ 3 GHz")
        );
        assert_eq!(cpu_model(""), None);
    }
}

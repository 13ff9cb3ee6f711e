//! `waypost report` and `waypost verify`, on ledgers that the binary itself wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;

use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::{chat, ended, run, serve, waypost};

const MODEL: &str = "openai/gpt-4o-mini";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A folder with a ledger of two simulated calls.
fn with_ledger() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("waypost.toml"), "[simulator]\ninstant = true\n").unwrap();
    for args in [
        &["chat", "Hello", "--model", MODEL][..],
        &["chat", "Hello", "--task", "coding"],
    ] {
        let (code, _, err) = run(dir.path(), args);
        assert_eq!(code, 0, "{err}");
    }
    dir
}

/// The sum of a column of the ledger, as any other program reads it.
fn ledger_sum(dir: &Path, column: &str) -> i64 {
    let path = dir.join("waypost-data/waypost.db");
    let db = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let query = format!("SELECT coalesce(sum({column}), 0) FROM attempts");
    db.query_row(&query, [], |row| row.get(0)).unwrap()
}

fn pico(amount: &Value) -> i64 {
    let amount: rust_decimal::Decimal = amount.as_str().unwrap().parse().unwrap();
    let pico = amount * rust_decimal::Decimal::from(1_000_000_000_000_i64);
    pico.normalize().to_string().parse().unwrap()
}

/// The names in a folder.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Exit code, and that there is one sentence and nothing else.
fn refused(dir: &Path, args: &[&str], code: i32, says: &str) {
    let (found, out, err) = run(dir, args);
    assert_eq!(found, code, "{args:?}: {err}");
    assert!(out.is_empty(), "{args:?}: {out}");
    assert!(err.contains(says), "{args:?}: {err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{args:?}: {err}");
    assert!(err.starts_with("waypost: ") && err.len() < 400, "{args:?}: {err}");
}

#[test]
fn a_report_is_the_ledger_in_every_form() {
    let dir = with_ledger();
    let (code, out, err) = run(dir.path(), &["report", "--json"]);
    assert_eq!(code, 0, "{err}");
    let report = json(&out);
    assert_eq!(report["schema"], "waypost.cost-report/1");
    let simulated = &report["simulated"];
    assert_eq!(simulated["total"]["attempts"], 2);
    for (key, column) in [
        ("cost_usd", "cost_pico"),
        ("markup_usd", "markup_pico"),
        ("charge_usd", "charge_pico"),
    ] {
        assert_eq!(
            pico(&simulated["total"][key]),
            ledger_sum(dir.path(), column),
            "{key}"
        );
    }
    assert_eq!(
        report["real"]["total"]["attempts"], 0,
        "nothing simulated is shown as real"
    );
    let optimisation = &report["optimisation"]["simulated"];
    assert!(optimisation["savings"]["saved_usd"].is_string(), "{optimisation}");
    assert!(
        !report["optimisation"]["assumptions"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    for by in [
        "model",
        "provider",
        "upstream",
        "key",
        "team",
        "project",
        "task",
        "tag",
        "experiment",
        "day",
        "hour",
    ] {
        let (code, out, err) = run(dir.path(), &["report", "--by", by, "--format", "json"]);
        assert_eq!(code, 0, "{err}");
        let other = json(&out);
        assert_eq!(
            (other["by"].as_str(), &other["simulated"]["total"]),
            (Some(by), &simulated["total"])
        );
    }
    for (format, says) in [
        ("table", "What could have been spent instead"),
        ("markdown", "## Simulated calls: nothing was paid"),
        ("csv", "total,,,true,2,2,"),
        ("html", "<!doctype html>"),
        ("focus", "BilledCost,"),
    ] {
        let (code, out, err) = run(dir.path(), &["report", "--format", format]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(says), "{format}: {out}");
        let free = matches!(format, "csv" | "focus");
        assert_eq!(out.contains("assumed"), !free, "{format}: {out}");
    }
    // No simulated call is a charge, so that there is a header alone.
    let (_, out, _) = run(dir.path(), &["report", "--focus", "1.3"]);
    assert!(
        out.contains("ServiceProviderName") && out.lines().count() == 1,
        "{out}"
    );
}

#[test]
fn baselines_lines_and_filters() {
    let dir = with_ledger();
    let report = |args: &[&str]| {
        let (code, out, err) = run(dir.path(), &[&["report", "--json"], args].concat());
        assert_eq!(code, 0, "{err}");
        json(&out)
    };
    let found = report(&["--baseline", "openai/gpt-4o"]);
    assert_eq!(
        found["optimisation"]["simulated"]["savings"]["baseline"],
        "openai/gpt-4o"
    );
    let found = report(&["--baseline", "none"]);
    assert!(found["optimisation"]["simulated"]["savings"].is_null());
    let found = report(&["--model", MODEL, "--task", "coding"]);
    assert!(
        found["simulated"].is_null(),
        "kinds of filters narrow each other: {found}"
    );
    let found = report(&["--model", MODEL, "--model", "no/such"]);
    assert_eq!(found["simulated"]["total"]["attempts"], 1);
    assert_eq!(found["filters"][0]["is"], MODEL);
    let found = report(&["--from", "2020-01-01", "--to", "2020-02-01"]);
    assert!(found["simulated"].is_null() && found["optimisation"]["simulated"].is_null());
    // Beside the whole, one line and one for the rest would be two lines; three are cut to two.
    let found = report(&["--top", "1", "--by", "hour"]);
    assert!(found["simulated"]["lines"].as_array().unwrap().len() <= 2);
}

#[test]
fn a_report_needs_a_ledger_and_works_beside_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("waypost.toml"), "[simulator]\ninstant = true\n").unwrap();
    for command in ["report", "verify"] {
        refused(dir.path(), &[command], 1, "there is no ledger at");
    }
    assert_eq!(names(dir.path()), ["waypost.toml"], "reading begins no ledger");

    let serving = serve(dir.path(), &["--listen", "127.0.0.1:0"]);
    let body = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"Hello"}}]}}"#);
    let answer = chat(&serving.address, &body);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (code, out, err) = run(dir.path(), &["report", "--json"]);
    assert_eq!(
        (code, json(&out)["simulated"]["total"]["attempts"].as_u64()),
        (0, Some(1)),
        "{err}"
    );
    let (code, out, err) = run(dir.path(), &["verify", "--json"]);
    assert_eq!(code, 0, "{err}");
    let found = json(&out);
    assert_eq!((&found["holds"], &found["attempts"]), (&true.into(), &1.into()));
    assert_eq!(pico(&found["charged_usd"]), ledger_sum(dir.path(), "charge_pico"));
}

#[test]
fn verify_names_what_does_not_hold_and_exits_1() {
    let dir = with_ledger();
    let (code, out, err) = run(dir.path(), &["verify"]);
    assert!(code == 0 && out.contains("everything adds up"), "{out}{err}");
    assert!(out.contains("checked 2 attempts (0 open) of 2 requests"), "{out}");
    // What the database itself forbids, done by somebody who takes the lock off first.
    let db = rusqlite::Connection::open(dir.path().join("waypost-data/waypost.db")).unwrap();
    let changed = db
        .execute("UPDATE rollups SET attempts = attempts + 1 WHERE rowid = 1", [])
        .unwrap();
    assert_eq!(changed, 1);
    drop(db);
    let (code, out, err) = run(dir.path(), &["verify"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains("rollups_are_entries: the sum of") && out.contains("violations"),
        "{out}"
    );
    let (code, out, _) = run(dir.path(), &["verify", "--json"]);
    let found = json(&out);
    assert_eq!((code, &found["holds"]), (1, &false.into()));
    assert_eq!(found["violations"][0]["rule"], "rollups_are_entries");
}

#[test]
fn a_new_file_is_whole_and_its_owners_alone() {
    let dir = with_ledger();
    let before = names(dir.path());
    let whole = dir.path().join("sub").join("costs.csv");
    fs::create_dir(dir.path().join("sub")).unwrap();
    let whole = whole.to_str().unwrap();
    for path in ["costs.csv", "./sub/more.csv", whole] {
        let (code, out, err) = run(dir.path(), &["report", "--format", "csv", "--out", path]);
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert!(err.contains(path), "{err}");
        let text = fs::read_to_string(dir.path().join(path)).unwrap();
        assert!(
            text.starts_with("row,by,group,") && text.ends_with("US dollars\"\r\n"),
            "{text}"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
    let mut expected = [before, vec!["costs.csv".to_owned(), "sub".to_owned()]].concat();
    expected.sort();
    assert_eq!(names(dir.path()), expected, "nothing else is left");
}

#[cfg(unix)]
#[test]
fn input_92_an_output_that_is_no_new_file_is_refused_and_nothing_is_left() {
    let dir = with_ledger();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let at = |name: &str| inner.join(name);
    fs::write(at("there.txt"), "mine").unwrap();
    fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink(at("there.txt"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    let before = (names(&inner), names(dir.path()));
    let data = dir.path().join("waypost-data");
    let data = data.to_str().unwrap();
    let long = "x".repeat(256);
    let longer = "x".repeat(4_096);
    for (out, code, says) in [
        ("../../x", 2, "`..`"),
        ("../x", 2, "`..`"),
        ("folder/../x", 2, "`..`"),
        ("folder/", 2, "no name"),
        (long.as_str(), 2, "too long"),
        (longer.as_str(), 2, "too long"),
        ("there.txt", 1, "exists already"),
        ("folder", 1, "is a folder"),
        (".", 2, "no name"),
        ("link", 1, "is a link"),
        ("dangling", 1, "is a link"),
        ("/dev/full", 1, "device"),
        ("/dev/null", 1, "device"),
        ("no-such-folder/x", 1, "no-such-folder"),
        ("there.txt/x", 1, "there.txt/x cannot be written"),
    ] {
        refused(
            &inner,
            &["report", "--data-dir", data, "--format", "html", "--out", out],
            code,
            says,
        );
    }
    assert_eq!((names(&inner), names(dir.path())), before);
    assert_eq!(fs::read_to_string(at("there.txt")).unwrap(), "mine");
}

/// The file outgrows what it may have, as on a disk that is full: what there is of it goes away.
#[cfg(target_os = "linux")]
#[test]
fn input_92_a_file_that_cannot_be_finished_leaves_nothing() {
    let dir = with_ledger();
    let before = names(dir.path());
    let mut command = waypost(dir.path());
    let binary = command.get_program().to_owned();
    // The filter is said in the report, and makes it longer than a file may be.
    let long = "x".repeat(120_000);
    command = {
        let mut shell = std::process::Command::new("sh");
        shell
            .current_dir(dir.path())
            .env_clear()
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        shell
            .arg("-c")
            .arg(r#"trap '' XFSZ; ulimit -f 100; exec "$0" report --json --out costs.json --model "$1""#)
            .arg(binary)
            .arg(&long);
        shell
    };
    let (code, out, err) = ended(command.output().unwrap());
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.contains("costs.json cannot be written") && err.len() < 400,
        "{err}"
    );
    assert_eq!(names(dir.path()), before);
    let (code, _, err) = run(
        dir.path(),
        &["report", "--json", "--out", "costs.json", "--model", &long],
    );
    assert_eq!(code, 0, "{err}");
}

/// A full disk under the answer itself.
#[cfg(target_os = "linux")]
#[test]
fn input_92_a_full_standard_output_is_an_error() {
    let dir = with_ledger();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = waypost(dir.path());
    command.args(["report", "--format", "csv"]).stdout(full);
    let (code, _, err) = ended(command.output().unwrap());
    assert!(code == 1 && err.contains("No space left"), "{code} {err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{err}");
}

#[test]
fn input_93_a_period_that_is_none_is_refused_with_one_sentence() {
    let dir = with_ledger();
    for (args, says) in [
        (&["--from", "2026-11-02", "--to", "2026-11-01"][..], "not after"),
        (&["--from", "2026-11-01", "--to", "2026-11-01"], "not after"),
        (&["--from", "2026-02-30"], "2026-02-30"),
        (&["--from", "0000-01-01"], "1970"),
        (&["--from", "9999999-01-01"], "9999999-01-01"),
        (&["--to", "9999999"], "9999999"),
        (&["--from", "yesterday"], "yesterday"),
        (&["--from", ""], "no date"),
        (&["--from", "2026-11-01T00:30:00Z"], "within an hour"),
        (&["--from", "2026-03-29T02:30:00"], "no date"),
        (&["--from", "2026-11-01T25:00:00Z"], "no date"),
        (
            &["--from", "2026-11-01", "--from", "2026-11-02"],
            "cannot be used multiple times",
        ),
    ] {
        let (code, out, err) = run(dir.path(), &[&["report"], args].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    // The hour that no clock on a wall showed is a time all the same, if it says how far it is from UTC.
    let args = [
        "report",
        "--from",
        "2026-03-29T02:30:00+00:30",
        "--to",
        "2026-03-29T03:00:00Z",
    ];
    let (code, out, err) = run(dir.path(), &args);
    assert!(
        code == 0 && out.contains("2026-03-29T02:00:00Z to 2026-03-29T03:00:00Z"),
        "{err}"
    );
}

#[test]
fn input_96_a_filter_means_itself() {
    let dir = with_ledger();
    for value in [
        "%",
        "openai/%",
        "openai/gpt-4o_mini",
        "*",
        "OPENAI/GPT-4O-MINI",
        "' OR 1=1 --",
        "%%%%",
        "",
    ] {
        let (code, out, err) = run(dir.path(), &["report", "--json", "--model", value]);
        assert_eq!(code, 0, "{value}: {err}");
        let report = json(&out);
        assert!(report["simulated"].is_null(), "{value}: {out}");
        assert_eq!(report["filters"][0]["is"], value);
    }
    for (args, says) in [
        (&["--tag", "a", "--tag", "b"][..], "one tag"),
        (&["--by", "moon"], "moon"),
        (&["--format", "pdf"], "pdf"),
        (&["--top", "-1"], "1 or more"),
        (&["--out", ""], "--out"),
        (&["--top", "0"], "1 or more"),
        (&["--focus", "2.0"], "1.3"),
        (&["--format", "csv", "--focus", "1.2"], "leave it out"),
        (&["--json", "--format", "csv"], "cannot be used with"),
        (&["--baseline", "no/such"], "no/such"),
        (&["--colour", "red"], "--colour"),
    ] {
        let (code, out, err) = run(dir.path(), &[&["report"], args].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

//! Reports of names, periods, filters and places that mean no good.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use costing::report::{Filters, Focus, FocusAccount, FocusVersion, Grouping, Period, Report, ReportFormat};
use costing::{RollupRow, UtcTime};
use serde_json::Value;

#[path = "common/csv.rs"]
mod csv;
#[path = "common/rollups.rs"]
mod rollups;

use csv::{Sheet, unguarded};
use rollups::{START, context, period, query, row, with};

const DOLLAR: i128 = 1_000_000_000_000;

fn report(rows: &[RollupRow], grouping: Grouping) -> Report {
    Report::new(rows, query(grouping), context())
}

#[test]
fn text_from_outside_cannot_command_a_spreadsheet_a_terminal_or_a_page() {
    let hostile = [
        "=HYPERLINK(1)",
        "+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "＝1",
        "'=1",
        "\u{1b}[2J",
        "\u{202e}abc",
        "a,b\"c\r\nd",
        "\0",
        "../../x",
        "<img src=x onerror=alert(1)>",
        "`|`",
        "![x](http://e)",
        "",
        "ü",
        "日本",
    ];
    let rows: Vec<RollupRow> = hostile
        .iter()
        .map(|name| {
            with(row(0, "a/b", 1, DOLLAR), |row| {
                row.key.task = Some((*name).into())
            })
        })
        .collect();
    let report = report(&rows, Grouping::Task);
    let sheet = Sheet::read(&report.to_text(ReportFormat::Csv));
    assert_eq!(sheet.of_kind("line").count(), hostile.len());
    for line in sheet.of_kind("line") {
        let field = sheet.get(line, "group");
        let start = field
            .trim_start_matches([' ', '\u{a0}', '\u{3000}'])
            .chars()
            .next();
        assert!(
            !matches!(start, Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝')),
            "{field:?}"
        );
        // And it can be told what it was, but for what cannot be shown.
        let was = unguarded(field);
        assert!(
            hostile
                .iter()
                .any(|name| *name == was || name.chars().zip(was.chars()).any(|(_, b)| b == '\u{fffd}'))
        );
        for column in ["cost_usd", "charge_usd", "attempts"] {
            assert!(
                sheet.get(line, column).parse::<rust_decimal::Decimal>().is_ok(),
                "a number is a number"
            );
        }
    }
    for format in [ReportFormat::Table, ReportFormat::Markdown, ReportFormat::Html] {
        let text = report.to_text(format);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{format}");
        assert!(!text.contains('\u{202e}'), "{format}");
    }
    let page = report.to_text(ReportFormat::Html);
    assert!(!page.contains("<img") && page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    let markdown = report.to_text(ReportFormat::Markdown);
    assert!(!markdown.contains("![x]") && !markdown.contains("`|`") && !markdown.contains("<img"));
    let width = |line: &str| line.matches(" | ").count();
    let table: Vec<&str> = markdown.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(
        table
            .iter()
            .take(hostile.len() + 1)
            .all(|line| width(line) == width(table[0])),
        "{markdown}"
    );
    // JSON has every letter as it was.
    let json: Value = serde_json::from_str(&report.to_text(ReportFormat::Json)).unwrap();
    let names: Vec<&str> = json["real"]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["group"].as_str().unwrap())
        .collect();
    assert!(hostile.iter().all(|name| names.contains(name)));
}

#[test]
fn input_93_a_period_that_is_none_is_refused_by_name() {
    let refused = |from: &str, to: &str, word: &str| {
        let error = Period::parse(from, to).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused("2026-11-02", "2026-11-01", "not after");
    refused("2026-11-01", "2026-11-01", "not after");
    refused("2026-02-30", "2026-03-01", "2026-02-30");
    refused("2025-02-29", "2026-03-01", "no date");
    refused("0000-01-01", "2026-03-01", "1970");
    refused("1969-12-31", "2026-03-01", "1970");
    refused("9999999-01-01", "2026-03-01", "no date");
    refused("2026-01-01T10:15:00Z", "2026-03-01", "within an hour");
    for text in [
        "",
        "2026",
        "2026-1-1",
        "2026-00-01",
        "2026-13-01",
        "2026-11-00",
        "2026-11-01T",
        "2026-11-01T24:00:00Z",
        "2026-11-01T10:00:60Z",
        "2026-11-01T10:60Z",
        "2026-11-01T10:00:00",
        "2026-11-01T10:00:00+1:00",
        "2026-11-01T10:00:00+24:00",
        "+026-11-01",
        "2026-11-01-01",
        " 2026-11-01",
        "٢٠٢٦-١١-٠١",
        "2026-11-01T10:00:00Zx",
        "2026-11-01\u{1b}[2J",
    ] {
        let error = Period::time(text).unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
    // 02:30 on that morning is on no clock in Berlin, and with its distance from UTC still one instant.
    assert_eq!(
        Period::time("2026-03-29T02:30:00+01:00"),
        Period::time("2026-03-29T03:30:00+02:00")
    );
    assert_eq!(
        Period::time("2026-03-29T02:30:00+01:00"),
        Period::time("2026-03-29T01:30Z")
    );
    assert_eq!(Period::time("2026-11-01"), Ok(UtcTime::from_unix(START)));
    assert_eq!("2026-11-01/2026-12-01".parse::<Period>(), Ok(period(30 * 24)));
    assert_eq!(
        Period::parse("9999-12-31", "9999-12-31T23:00:00Z")
            .map(|p| p.to_string())
            .unwrap(),
        "9999-12-31T00:00:00Z to 9999-12-31T23:00:00Z"
    );
}

/// What a report is written to may fail at any letter, as a full disk or a read-only place does. It says so, and what is
/// written was right.
#[test]
fn input_92_a_place_that_takes_no_more_is_an_error_and_no_panic() {
    struct Full(usize, String);
    impl std::fmt::Write for Full {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
            self.1.push_str(text);
            Ok(())
        }
    }
    let report = report(&[row(0, "openai/gpt-4o", 3, 5_564_900_000)], Grouping::Model);
    for format in ReportFormat::ALL {
        let whole = report.to_text(format);
        for room in (0..whole.len()).step_by(17) {
            let mut out = Full(room, String::new());
            assert!(report.write(format, &mut out).is_err(), "{format} in {room}");
            assert!(whole.starts_with(&out.1));
        }
        assert!(
            report
                .write(format, &mut Full(whole.len(), String::new()))
                .is_ok()
        );
    }
}

/// The file that is always full says so in its own words, from every format.
#[cfg(target_os = "linux")]
#[test]
fn input_92_a_full_disk_is_called_a_full_disk() {
    let report = report(&[row(0, "openai/gpt-4o", 3, 5_564_900_000)], Grouping::Model);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for format in ReportFormat::ALL {
        let error = report.write_to(format, &mut full()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{format}");
        let mut bytes = Vec::new();
        report.write_to(format, &mut bytes).unwrap();
        assert_eq!(bytes, report.to_text(format).as_bytes());
    }
    let focus = Focus::new(FocusVersion::V1_2, FocusAccount::new("a", "A"), period(24));
    let error = focus
        .write_to([row(0, "a/b", 1, DOLLAR)], &mut full())
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn input_96_signs_of_patterns_in_a_filter_mean_themselves() {
    let rows: Vec<RollupRow> = ["a%", "ab", "a_", "A%", "a%%", "%"]
        .iter()
        .map(|name| {
            with(row(0, "a/b", 1, DOLLAR), |row| {
                row.key.caller.team = Some((*name).into())
            })
        })
        .collect();
    let found = |value: &str| {
        let filters = Filters::none().with(Grouping::Team, value).unwrap();
        Report::new(&rows, query(Grouping::Team).with_filters(filters), context())
            .real
            .total
            .attempts
    };
    for value in ["a%", "a_", "%"] {
        assert_eq!(found(value), 1, "{value}");
    }
    for value in ["%%%%", "_", "a*", ".*", "' OR 1=1 --", "a%\0", ""] {
        assert_eq!(found(value), 0, "{value}");
    }
}

#[test]
fn filters_of_one_kind_are_alternatives_and_kinds_narrow_each_other() {
    let of = |team: Option<&str>, task: Option<&str>| {
        with(row(0, "a/b", 1, DOLLAR), |row| {
            row.key.caller.team = team.map(Into::into);
            row.key.task = task.map(Into::into);
        })
    };
    let rows = [
        of(Some("x"), Some("t")),
        of(Some("y"), Some("t")),
        of(Some("y"), None),
        of(None, Some("t")),
    ];
    let found = |filters| {
        Report::new(&rows, query(Grouping::Team).with_filters(filters), context())
            .real
            .total
            .attempts
    };
    let team = |value: &str| Filters::none().with(Grouping::Team, value).unwrap();
    assert_eq!(found(team("x").with(Grouping::Team, "y").unwrap()), 3);
    assert_eq!(found(team("y").with(Grouping::Task, "t").unwrap()), 1);
    assert_eq!(found(Filters::none().without(Grouping::Team).unwrap()), 1);
    assert!(Filters::none().with(Grouping::Day, "2026-11-01").is_err());
    assert!(
        Filters::none()
            .with(Grouping::Tag, "a")
            .unwrap()
            .with(Grouping::Tag, "b")
            .is_err()
    );
    assert!(Filters::none().without(Grouping::Tag).is_err());
}

#[test]
fn words_are_read_as_they_are_written() {
    for grouping in Grouping::ALL {
        assert_eq!(grouping.to_string().parse(), Ok(grouping));
    }
    for format in ReportFormat::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert!(format.media_type().contains('/'));
    }
    assert!("Model".parse::<Grouping>().is_err());
    let error = "\u{1b}[2Jpdf".parse::<ReportFormat>().unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

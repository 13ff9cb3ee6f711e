//! The page as a browser shows it: on a desk and on a phone, by day and by night. Without Chromium these are skipped, and say so.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::PathBuf;

use costing::report::{Grouping, Report, ReportFormat};
use costing::{CostStatus, RollupRow};
use serde_json::Value;

#[path = "common/browser.rs"]
mod browser;
#[path = "common/rollups.rs"]
mod rollups;

use browser::{Look, Page, is_well_shown};
use rollups::{context, query, row, unknown, with};

fn rows() -> Vec<RollupRow> {
    let long = "a-task-with-a-name-that-is-far-too-long-for-the-screen-of-any-telephone-there-ever-was-and-has-no-space-in-it";
    (0..40_i64)
        .map(|hour| {
            let row = row(
                hour * 7,
                "openai/gpt-4o",
                3,
                5_564_900_000 + i128::from(hour) * 123_456_789_012,
            );
            let row = if hour % 9 == 4 {
                unknown(row, CostStatus::Pending)
            } else {
                row
            };
            with(row, |row| {
                row.key.task =
                    [None, Some(long.to_owned()), Some("<b>bold</b>".to_owned())][hour as usize % 3].clone();
                row.key.simulated = hour % 11 == 5;
            })
        })
        .collect()
}

/// What the browser finds; `None` where there is no browser.
fn look(look: &Look, page: &str) -> Option<Value> {
    let outer = look.folder.join(format!("{}.html", look.name));
    let inner = look.folder.join(format!("{}-page.html", look.name));
    fs::write(&outer, look.outer(&Page::Text(page))).unwrap();
    fs::write(&inner, page).unwrap();
    let found = look.at(outer.to_str().unwrap())?;
    look.picture(inner.to_str().unwrap());
    Some(found)
}

fn check(name: &'static str, grouping: Grouping, width: u32, dark: bool) {
    let rows = rows();
    let report = Report::new(&rows, query(grouping), context());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report-page");
    let how = Look::new(name, width, dark, &folder);
    let Some(found) = look(&how, &report.to_text(ReportFormat::Html)) else {
        return;
    };
    is_well_shown(&found, &how);
    assert!(found["bars"].as_u64().unwrap() > 0, "{found}");
    // The total is the ledger's, to the last digit.
    let exact: i128 = rows
        .iter()
        .filter(|row| !row.key.simulated)
        .map(|row| row.sums.charge.get())
        .sum();
    assert_eq!(exact, report.real.total.charge.get());
    let exact = format!("{} charge", report.real.total.charge);
    assert!(
        found["facts"].as_str().unwrap().contains(&exact),
        "{exact} in {found}"
    );
    assert!(
        found["total"].as_str().unwrap().starts_with("at least "),
        "{found}"
    );
}

#[test]
fn on_a_desk_by_day() {
    check("report-on-a-desk-by-day", Grouping::Task, 1_280, false);
}

#[test]
fn on_a_phone_by_day() {
    check("report-on-a-phone-by-day", Grouping::Task, 390, false);
}

#[test]
fn on_a_desk_by_night() {
    check("report-on-a-desk-by-night", Grouping::Day, 1_280, true);
}

#[test]
fn on_a_phone_by_night() {
    check("report-on-a-phone-by-night", Grouping::Day, 390, true);
}

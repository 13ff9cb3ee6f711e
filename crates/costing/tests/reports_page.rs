//! The examples of `docs/reports.md`, written anew: the page shows what the code says, to the letter.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use costing::report::{Focus, FocusAccount, FocusVersion, Grouping, Report, ReportFormat};
use costing::{CostStatus, RollupRow};

#[path = "common/rollups.rs"]
mod rollups;

use rollups::{context, period, query, row, unknown};

fn rows() -> Vec<RollupRow> {
    vec![
        row(0, "openai/gpt-4o", 3, 5_564_900_000),
        row(1, "z-ai/glm-4.6", 12, 123_456_700_000),
        unknown(row(1, "deepseek/deepseek-chat", 2, 0), CostStatus::Pending),
    ]
}

#[test]
fn the_page_shows_what_the_code_says() {
    let page = include_str!("../../../docs/reports.md");
    let rows = rows();
    let report = Report::new(&rows, query(Grouping::Model), context());
    let mut focus = String::new();
    Focus::new(FocusVersion::V1_2, FocusAccount::new("acme", "Acme"), period(24))
        .write(&rows, &mut focus)
        .unwrap();
    for (mark, text) in [
        ("text table", report.to_text(ReportFormat::Table)),
        ("markdown", report.to_text(ReportFormat::Markdown)),
        ("csv", report.to_text(ReportFormat::Csv)),
        ("json", report.to_text(ReportFormat::Json)),
        ("csv focus", focus),
    ] {
        let text = text.replace("\r\n", "\n");
        let block = format!("```{mark}\n{text}```\n");
        assert!(page.contains(&block), "docs/reports.md should have\n{block}");
    }
    assert!(page.contains(&ReportFormat::content_security_policy()));
}

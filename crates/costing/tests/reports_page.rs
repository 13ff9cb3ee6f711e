//! The examples of `docs/reports.md`, written anew: the page shows what the code says, to the letter.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use costing::optimise::{Optimisation, OptimisationQuery};
use costing::report::{Focus, FocusAccount, FocusVersion, Grouping, Report, ReportFormat};
use costing::{CostStatus, Outcome, PriceBook, PriceSheet, RollupRow, UtcTime};
use integration_core::ModelId;

#[path = "common/rollups.rs"]
mod rollups;

use rollups::{DAY, START, context, period, query, row, unknown, with};

fn rows() -> Vec<RollupRow> {
    vec![
        row(0, "openai/gpt-4o", 3, 5_564_900_000),
        row(1, "z-ai/glm-4.6", 12, 123_456_700_000),
        unknown(row(1, "deepseek/deepseek-chat", 2, 0), CostStatus::Pending),
    ]
}

/// The second part of the table of the same rows and a failed attempt.
fn instead() -> String {
    let mut rows = rows();
    rows.push(with(row(2, "openai/gpt-4o", 1, 1_000_000_000), |row| {
        row.key.outcome = Some(Outcome::Failed);
    }));
    let baseline = ModelId::new("anthropic/claude-opus-4").unwrap();
    let prices = PriceSheet::from_pricing_json(r#"{"prompt":"0.000015","completion":"0.000075"}"#).unwrap();
    let book = PriceBook::new("example", [(baseline.clone(), prices)]);
    let by = OptimisationQuery::new(UtcTime::from_unix(START + 2 * DAY), book).with_baseline(Some(baseline));
    let found = Optimisation::new(&rows, &query(Grouping::Model), &by);
    let report = Report::new(&rows, query(Grouping::Model), context()).with_optimisation(found);
    let table = report.to_text(ReportFormat::Table);
    let at = table.find("What could have been spent instead").unwrap();
    table[at..].to_owned()
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
        ("text instead", instead()),
    ] {
        let text = text.replace("\r\n", "\n");
        let block = format!("```{mark}\n{text}```\n");
        assert!(page.contains(&block), "docs/reports.md should have\n{block}");
    }
    assert!(page.contains(&ReportFormat::content_security_policy()));
}

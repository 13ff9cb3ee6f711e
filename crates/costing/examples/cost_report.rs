//! Writes a small report: `cargo run -p costing --example cost_report -- html > report.html`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::time::{Duration, UNIX_EPOCH};

use costing::report::{Grouping, Period, Report, ReportContext, ReportFormat, ReportQuery, SnapshotNote};
use costing::{Caller, CostStatus, Outcome, PicoSum, RollupKey, RollupRow, RollupSums};
use integration_core::{ModelId, ProviderId};

fn main() {
    let mut words = std::env::args().skip(1);
    let format: ReportFormat = words
        .next()
        .as_deref()
        .unwrap_or("table")
        .parse()
        .expect("a format");
    let grouping: Grouping = words
        .next()
        .as_deref()
        .unwrap_or("model")
        .parse()
        .expect("a grouping");
    let period = Period::parse("2026-11-01", "2026-12-01").unwrap();
    let models = [
        "openai/gpt-4o",
        "anthropic/claude-sonnet-4.5",
        "google/gemini-2.5-flash",
        "deepseek/deepseek-chat",
    ];
    let mut rows = Vec::new();
    for hour in 0..72_u64 {
        for (index, model) in (0_u64..).zip(models) {
            let pico = PicoSum::new(i128::from(hour % 24 + 1) * i128::from(4 - index) * 1_234_567_890);
            let markup = PicoSum::new(pico.get() / 10);
            let known = hour % 29 != 7 || index != 1;
            rows.push(RollupRow {
                key: RollupKey {
                    hour: UNIX_EPOCH
                        + Duration::from_secs(period.from().unix().cast_unsigned() + hour * 3_600),
                    simulated: index == 3,
                    provider: ProviderId::new("openrouter").unwrap(),
                    model: ModelId::new(model).unwrap(),
                    upstream: None,
                    price_snapshot: "openrouter-0123456789ab".to_owned(),
                    caller: Caller::local(),
                    task: None,
                    tag: None,
                    arm: None,
                    outcome: Some(Outcome::Succeeded),
                    status: if known {
                        CostStatus::Reported
                    } else {
                        CostStatus::Pending
                    },
                    first: true,
                },
                sums: RollupSums {
                    attempts: 12,
                    prompt_tokens: 24_000,
                    completion_tokens: 3_000,
                    cost: if known { pico } else { PicoSum::ZERO },
                    markup: if known { markup } else { PicoSum::ZERO },
                    charge: if known { pico + markup } else { PicoSum::ZERO },
                    unknown: if known { 0 } else { 12 },
                    ..RollupSums::default()
                },
            });
        }
    }
    let context =
        ReportContext::new(Period::time("2026-11-23T10:00:00Z").unwrap(), "costing 0.1.0").with_snapshots([
            SnapshotNote::new("openrouter-0123456789ab", Period::time("2026-11-22").ok()),
        ]);
    let report = Report::new(&rows, ReportQuery::new(period, grouping), context);
    print!("{}", report.to_text(format));
}

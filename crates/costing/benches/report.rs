//! A report over 1,000 hourly sums. What it takes depends on the number of sums, not on the number of attempts in them: the same
//! sums of ten thousand attempts and of a million are measured beside each other.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use costing::report::{Focus, FocusAccount, FocusVersion, Grouping, Report, ReportFormat};
use costing::{CostStatus, RollupRow};
use criterion::{Criterion, criterion_group, criterion_main};

#[path = "../tests/common/rollups.rs"]
mod rollups;

use rollups::{context, period, query, row, unknown};

/// 1,000 sums: fifty models, twenty hours each, so many attempts in all.
fn sums(attempts: u64) -> Vec<RollupRow> {
    (0..1_000_i64)
        .map(|n| {
            let row = row(
                n / 50,
                &format!("author/model-{}", n % 50),
                attempts / 1_000,
                1_234_567_890 * i128::from(n),
            );
            if n % 97 == 0 {
                unknown(row, CostStatus::Pending)
            } else {
                row
            }
        })
        .collect()
}

fn report(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("report_of_1000_sums");
    for (name, attempts) in [("10_000_attempts", 10_000), ("1_000_000_attempts", 1_000_000)] {
        let rows = sums(attempts);
        group.bench_function(name, |b| {
            b.iter(|| Report::new(black_box(&rows), query(Grouping::Model), context()));
        });
    }
    let rows = sums(1_000_000);
    let report = Report::new(&rows, query(Grouping::Model), context());
    for format in ReportFormat::ALL {
        group.bench_function(format.as_str(), |b| b.iter(|| black_box(&report).to_text(format)));
    }
    group.bench_function("focus", |b| {
        let focus = Focus::new(FocusVersion::V1_2, FocusAccount::new("a", "A"), period(48));
        b.iter(|| {
            let mut text = String::new();
            focus.write(black_box(&rows), &mut text).unwrap();
            text
        });
    });
    group.finish();
}

criterion_group!(benches, report);
criterion_main!(benches);

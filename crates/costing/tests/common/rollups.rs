//! Hourly sums for the tests of reports.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::{Duration, UNIX_EPOCH};

use costing::report::{Grouping, Period, ReportContext, ReportQuery, SnapshotNote};
use costing::{Caller, CostStatus, Outcome, PicoSum, RollupKey, RollupRow, RollupSums, UtcTime};
use integration_core::{ModelId, ProviderId};
use proptest::prelude::*;

/// 2026-11-01T00:00:00Z.
pub const START: i64 = 1_793_491_200;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 86_400;

pub fn period(hours: i64) -> Period {
    Period::new(
        UtcTime::from_unix(START),
        UtcTime::from_unix(START + hours * HOUR),
    )
    .unwrap()
}

pub fn context() -> ReportContext {
    ReportContext::new(UtcTime::from_unix(START + 2 * DAY), "waypost 0.1.0").with_snapshots([
        SnapshotNote::new("openrouter-0123456789ab", Some(UtcTime::from_unix(START + DAY))),
    ])
}

pub fn query(grouping: Grouping) -> ReportQuery {
    ReportQuery::new(period(30 * 24), grouping)
}

/// An hour of a model: so many attempts at so much together, a tenth of it on top.
pub fn row(hour: i64, model: &str, attempts: u64, pico: i128) -> RollupRow {
    let (cost, markup) = (PicoSum::new(pico), PicoSum::new(pico / 10));
    RollupRow {
        key: RollupKey {
            hour: UNIX_EPOCH + Duration::from_secs((START + hour * HOUR).cast_unsigned()),
            simulated: false,
            provider: ProviderId::new("openrouter").unwrap(),
            model: ModelId::new(model).unwrap(),
            upstream: None,
            price_snapshot: "openrouter-0123456789ab".to_owned(),
            caller: Caller::local(),
            task: None,
            tag: None,
            arm: None,
            outcome: Some(Outcome::Succeeded),
            status: CostStatus::Reported,
            first: true,
        },
        sums: RollupSums {
            attempts,
            prompt_tokens: attempts * 1_000,
            completion_tokens: attempts * 100,
            cost,
            markup,
            charge: cost + markup,
            uncached_cost: cost,
            ..RollupSums::default()
        },
    }
}

/// The same, changed.
pub fn with(mut row: RollupRow, change: impl FnOnce(&mut RollupRow)) -> RollupRow {
    change(&mut row);
    row
}

/// The same with no cost known.
pub fn unknown(row: RollupRow, status: CostStatus) -> RollupRow {
    with(row, |row| {
        row.key.status = status;
        let sums = &mut row.sums;
        sums.unknown = sums.attempts;
        (sums.cost, sums.markup, sums.charge) = Default::default();
        sums.uncached_cost = PicoSum::ZERO;
    })
}

const NAMES: [&str; 9] = ["a", "b", "", "=1+1", "-2", "x,y", "\"q\"", "<b>&", "|\n`"];

pub fn any_row() -> impl Strategy<Value = RollupRow> {
    let name = || prop::option::of(prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned));
    (
        (-2_i64..800, any::<bool>(), 0_usize..4, name(), name(), name()),
        (
            0_usize..4,
            0_usize..6,
            any::<bool>(),
            0_u64..50,
            any::<i64>(),
            0_i64..1_000_000,
        ),
    )
        .prop_map(
            |(
                (hour, simulated, model, task, team, tag),
                (outcome, status, first, attempts, cost, markup),
            )| {
                let models = ["openai/gpt-4o", "a/b", "meta/llama:free", "z/z"];
                let mut row = row(hour, models[model], attempts, i128::from(cost) / 1_000);
                row.sums.markup = PicoSum::new(markup.into());
                row.sums.charge = row.sums.cost + row.sums.markup;
                row.key.simulated = simulated;
                row.key.first = first;
                row.key.task = task;
                row.key.caller.team = team;
                row.key.tag = tag;
                row.key.outcome = [
                    None,
                    Some(Outcome::Succeeded),
                    Some(Outcome::Failed),
                    Some(Outcome::Cancelled),
                ][outcome];
                row.key.status = CostStatus::ALL[status];
                if status >= 4 {
                    let status = row.key.status;
                    row = unknown(row, status);
                }
                row
            },
        )
}

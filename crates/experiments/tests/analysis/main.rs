//! From units to a decision: what a report says equals what the methods say, and the rule does what it promises.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod agreement;
mod page;
mod plans;
mod robust;
mod rule;
mod simulation;

use experiments::analysis::{AnalysisPlan, Report, Timeline, analyse};
use experiments::{Arm, Attribution, UnitKey, UnitRow};

pub const DAY: i64 = 86_400_000;

/// "Ship the cheaper one if quality is not worse by more than two points, and failures do not rise by more than one."
pub fn cheaper(engine: &str) -> AnalysisPlan {
    plan(&format!(
        r#"
        control = "strong"
        {engine}
        [[metrics]]
        key = "cost"
        role = "goal"
        kind = {{ mean = {{ of = "cost" }} }}
        direction = "lower_is_better"
        [[metrics]]
        key = "success"
        role = "guardrail"
        kind = {{ proportion = {{ of = "success" }} }}
        direction = "higher_is_better"
        margin = {{ absolute = 0.02 }}
        "#
    ))
}

pub fn plan(text: &str) -> AnalysisPlan {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

pub fn timeline(plan: &AnalysisPlan, arms: &[&str]) -> Timeline {
    let attribution = Attribution::new("e", 1, UnitKey::Request, 1).unwrap();
    Timeline::new(plan, attribution, arms.iter().copied()).unwrap()
}

/// A unit with one call.
pub fn unit(arm: &str, at_ms: i64, success: bool, cost_pico: i128) -> UnitRow {
    let mut row = UnitRow::new("u", arm, at_ms);
    row.sums.calls = 1;
    row.sums.judged = 1;
    row.sums.successes = u64::from(success);
    row.sums.priced = 1;
    row.sums.cost_pico = cost_pico;
    row.sums.timed = 1;
    row.sums.latency_ms = 100;
    row
}

/// `n` units of an arm over so many days, of which so many succeed, spread evenly; cost varies by a tenth about the mean.
pub fn fill(timeline: &mut Timeline, arm: &str, n: u64, successes: u64, mean_pico: i128, days: i64) {
    for i in 0..n {
        let at = i64::try_from(i).unwrap() * days * DAY / i64::try_from(n).unwrap();
        let success = (i + 1) * successes / n > i * successes / n;
        let cost = mean_pico + (i128::from(i % 3) - 1) * mean_pico / 10;
        timeline
            .add_as(&unit(arm, at, success, cost), experiments::Standing::Analysed)
            .unwrap();
    }
}

pub fn halves() -> Vec<Arm> {
    vec![Arm::new("strong", 5_000), Arm::new("cheap", 5_000)]
}

pub fn two_arms(plan: &AnalysisPlan, strong: (u64, u64, i128), cheap: (u64, u64, i128), days: i64) -> Report {
    let mut timeline = timeline(plan, &["strong", "cheap"]);
    fill(&mut timeline, "strong", strong.0, strong.1, strong.2, days);
    fill(&mut timeline, "cheap", cheap.0, cheap.1, cheap.2, days);
    analyse(plan, &timeline, &halves()).unwrap()
}

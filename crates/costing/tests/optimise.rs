//! Savings, waste, suggestions, forecasts and spikes, each calculated by hand once.
#![allow(
    clippy::unwrap_used,
    clippy::float_arithmetic,
    clippy::float_cmp,
    missing_docs
)]

use costing::optimise::{
    ForecastMethod, ForecastOptions, SpikeRule, TaskNeed, cache_savings, forecast, savings, spikes,
    suggestions, waste,
};
use costing::report::Period;
use costing::{CostStatus, Outcome, PicoSum, PriceBook, PriceSheet, RollupRow, UtcTime};
use integration_core::ModelId;
use proptest::prelude::*;

#[path = "common/rollups.rs"]
mod rollups;

use rollups::{DAY, HOUR, START, any_row, period, row, unknown, with};

const DOLLAR: i128 = 1_000_000_000_000;

fn model(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

fn book() -> PriceBook {
    let sheet = |json: &str| PriceSheet::from_pricing_json(json).unwrap();
    PriceBook::new(
        "test",
        [
            (
                model("big/one"),
                sheet(
                    r#"{"prompt":"0.00001","completion":"0.00004","input_cache_read":"0.000001","request":"0.5"}"#,
                ),
            ),
            (
                model("small/one"),
                sheet(r#"{"prompt":"0.000001","completion":"0.000004"}"#),
            ),
            (
                model("tiny/one"),
                sheet(r#"{"prompt":"0.0000001","completion":"0.0000004"}"#),
            ),
            (model("auto/one"), sheet(r#"{"prompt":"-1","completion":"-1"}"#)),
            (
                model("tier/one"),
                sheet(
                    r#"{"prompt":"0.000001","completion":"0","overrides":[{"min_prompt_tokens":1000,"prompt":"0.000002"}]}"#,
                ),
            ),
        ],
    )
}

/// Two answers of 1,000 prompt and 100 completion tokens for a cent, one failed attempt that cost a tenth of that.
fn traffic() -> Vec<RollupRow> {
    vec![
        row(0, "small/one", 2, DOLLAR / 100),
        with(row(0, "small/one", 1, DOLLAR / 1_000), |row| {
            row.key.outcome = Some(Outcome::Failed)
        }),
        with(row(0, "small/one", 7, 9 * DOLLAR), |row| row.key.simulated = true),
        with(row(0, "small/one", 2, DOLLAR / 100), |row| {
            row.key.tag = Some("x".into())
        }),
        row(900, "small/one", 2, DOLLAR),
    ]
}

#[test]
fn savings_against_a_baseline() {
    let found = savings(&traffic(), &period(24), &book(), &model("big/one"));
    // 2,000 × 0.00001 + 200 × 0.00004 + 2 × 0.5 = 0.02 + 0.008 + 1; spent were 0.01 + 0.001.
    assert_eq!(found.instead.to_string(), "1.028");
    assert_eq!(found.actual.to_string(), "0.011");
    assert_eq!(found.saved().to_string(), "1.017");
    assert_eq!((found.compared, found.unpriced, found.unknown), (2, 0, 0));
}

#[test]
fn savings_read_caches_at_the_baselines_own_price() {
    let rows = [with(row(0, "small/one", 2, DOLLAR / 100), |row| {
        row.sums.cached_tokens = 1_500
    })];
    let found = savings(&rows, &period(24), &book(), &model("big/one"));
    // 500 × 0.00001 + 1,500 × 0.000001 + 200 × 0.00004 + 2 × 0.5.
    assert_eq!(found.instead.to_string(), "1.0145");
}

#[test]
fn savings_choose_the_tier_by_the_mean_prompt_and_not_by_the_sum() {
    let of = |tokens| {
        let rows = [with(row(0, "small/one", 2, DOLLAR), |row| {
            row.sums.prompt_tokens = tokens
        })];
        savings(&rows, &period(24), &book(), &model("tier/one"))
            .instead
            .to_string()
    };
    assert_eq!(of(2_000), "0.002", "two prompts of a thousand");
    assert_eq!(of(2_002), "0.004004", "two prompts of a thousand and one");
}

#[test]
fn c04_what_is_not_known_or_not_priced_is_on_neither_side() {
    let rows = [
        unknown(row(0, "small/one", 3, 0), CostStatus::Pending),
        row(0, "small/one", 2, DOLLAR),
    ];
    let found = savings(&rows, &period(24), &book(), &model("big/one"));
    assert_eq!(
        (found.unknown, found.compared, found.actual),
        (3, 2, PicoSum::new(DOLLAR))
    );
    for nothing in ["auto/one", "no/such"] {
        let found = savings(&rows, &period(24), &book(), &model(nothing));
        assert_eq!((found.unpriced, found.compared), (2, 0), "{nothing}");
        assert_eq!((found.actual, found.instead), (PicoSum::ZERO, PicoSum::ZERO));
    }
    let no_tokens = with(row(0, "small/one", 2, DOLLAR), |row| {
        (row.sums.prompt_tokens, row.sums.completion_tokens) = (0, 0);
    });
    assert_eq!(
        savings(&[no_tokens], &period(24), &book(), &model("big/one")).unpriced,
        2
    );
}

#[test]
fn what_caches_saved_is_the_difference_to_the_cost_without() {
    let rows = [
        with(row(0, "a/b", 2, DOLLAR), |row| {
            row.sums.uncached_cost = PicoSum::new(3 * DOLLAR)
        }),
        row(1, "a/b", 1, DOLLAR),
    ];
    assert_eq!(cache_savings(&rows, &period(24)), PicoSum::new(2 * DOLLAR));
}

#[test]
fn waste_is_sorted_by_what_came_of_it() {
    let of = |outcome, first, dollars: i128| {
        with(row(0, "a/b", 1, dollars * DOLLAR), |row| {
            (row.key.outcome, row.key.first) = (outcome, first)
        })
    };
    let rows = [
        of(Some(Outcome::Succeeded), true, 1),
        of(Some(Outcome::Succeeded), false, 2),
        of(Some(Outcome::Failed), true, 4),
        of(Some(Outcome::Failed), false, 8),
        of(Some(Outcome::Cancelled), true, 16),
        of(Some(Outcome::Cancelled), false, 32),
        with(unknown(row(0, "a/b", 3, 0), CostStatus::Pending), |row| {
            row.key.outcome = None
        }),
    ];
    let found = waste(&rows, &period(24));
    assert_eq!(found.useful.cost, PicoSum::new(3 * DOLLAR));
    assert_eq!(found.failed_first.cost, PicoSum::new(4 * DOLLAR));
    assert_eq!(found.failed_later.cost, PicoSum::new(8 * DOLLAR));
    assert_eq!(found.cancelled_first.cost, PicoSum::new(16 * DOLLAR));
    assert_eq!(found.cancelled_later.cost, PicoSum::new(32 * DOLLAR));
    assert_eq!(
        (found.open.attempts, found.open.unknown, found.open.cost),
        (3, 3, PicoSum::ZERO)
    );
    assert_eq!(found.wasted(), PicoSum::new(60 * DOLLAR));
}

#[test]
fn a_cheaper_model_is_suggested_only_at_or_above_the_threshold() {
    let of = |task: Option<&str>| {
        with(row(0, "big/one", 2, 2 * DOLLAR), |row| {
            row.key.task = task.map(Into::into)
        })
    };
    let rows = [
        of(Some("reasoning")),
        of(Some("coding")),
        of(Some("chat")),
        of(None),
    ];
    let qualities = |small| {
        [
            (model("big/one"), 60.0),
            (model("small/one"), small),
            (model("tiny/one"), f64::NAN),
            (model("auto/one"), 99.0),
        ]
    };
    let needs = [
        TaskNeed::new("reasoning", 50.0, qualities(50.0)),
        TaskNeed::new("coding", 50.0, qualities(49.999)),
    ];
    let found = suggestions(&rows, &period(24), &book(), &needs);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].task.as_str(), &found[0].from, &found[0].to),
        ("reasoning", &model("big/one"), &model("small/one"))
    );
    // 2,000 × 0.000001 + 200 × 0.000004 = 0.0028 instead of 2.
    assert_eq!(found[0].comparison.saved_instead().to_string(), "1.9972");
    assert_eq!((found[0].from_quality, found[0].to_quality), (Some(60.0), 50.0));
    // What is dearer is no suggestion, whatever its quality.
    let cheap = [with(row(0, "small/one", 2, 1), |row| {
        row.key.task = Some("reasoning".into())
    })];
    assert!(suggestions(&cheap, &period(24), &book(), &needs).is_empty());
}

/// A month in which every day costs `spent(day)`, an hour a day.
fn days(count: i64, spent: impl Fn(i64) -> i128) -> Vec<RollupRow> {
    (0..count)
        .map(|day| {
            with(row(day * 24 + 5, "a/b", 1, 0), |row| {
                row.sums.charge = PicoSum::new(spent(day))
            })
        })
        .collect()
}

#[test]
fn less_than_a_week_is_a_run_rate_and_says_so() {
    let rows = days(3, |_| 2 * DOLLAR);
    let found = forecast(
        &rows,
        UtcTime::from_unix(START + 3 * DAY),
        &ForecastOptions::default(),
    );
    assert_eq!(
        (found.method, found.days, found.spent),
        (ForecastMethod::RunRate, 3, PicoSum::new(6 * DOLLAR))
    );
    assert_eq!(found.expected.unwrap(), 60.0, "thirty days of two dollars");
    assert_eq!((found.range, found.backtest), (None, None));
    assert!(found.note().contains("less than seven"));
    let nothing = forecast(&[], UtcTime::from_unix(START), &ForecastOptions::default());
    assert_eq!(
        (nothing.expected, nothing.note()),
        (None, "there is no whole day to judge by yet")
    );
}

#[test]
fn a_month_of_equal_weeks_is_foreseen_to_the_cent() {
    // 2026-11-01 was a Sunday: 0 on Saturdays and Sundays, 10 otherwise.
    let spent = |day: i64| if matches!(day % 7, 0 | 6) { 0 } else { 10 * DOLLAR };
    let rows = days(21, spent);
    let now = UtcTime::from_unix(START + 21 * DAY);
    let found = forecast(&rows, now, &ForecastOptions::seeded(7));
    let whole: i128 = (0..30).map(spent).sum();
    assert_eq!(whole, 210 * DOLLAR);
    assert_eq!(found.method, ForecastMethod::Weekdays);
    assert!((found.expected.unwrap() - 210.0).abs() < 1e-9, "{found:?}");
    let backtest = found.backtest.unwrap();
    assert!(
        backtest.mean_error < 0.2 && backtest.tries == 8 && backtest.days_ahead == 7,
        "{backtest:?}"
    );
    let (low, high) = found.range.unwrap();
    assert!(low <= 210.0 + 1e-9 && 210.0 - 1e-9 <= high);
    // The same seed, the same range.
    assert_eq!(forecast(&rows, now, &ForecastOptions::seeded(7)), found);
}

#[test]
fn today_counts_with_what_was_spent_if_that_is_more() {
    let mut rows = days(10, |_| DOLLAR);
    rows.push(with(row(240, "a/b", 1, 0), |row| {
        row.sums.charge = PicoSum::new(100 * DOLLAR)
    }));
    let now = UtcTime::from_unix(START + 10 * DAY + 2 * HOUR);
    let found = forecast(&rows, now, &ForecastOptions::default());
    // Ten dollars, a hundred today, and nineteen days to come.
    assert!((found.expected.unwrap() - 129.0).abs() < 1e-9, "{found:?}");
    assert_eq!(found.spent, PicoSum::new(110 * DOLLAR));
    // What is after now is not known yet.
    rows.push(row(29 * 24, "a/b", 1, 1_000 * DOLLAR));
    assert_eq!(
        forecast(&rows, now, &ForecastOptions::default()).expected,
        found.expected
    );
}

/// Forty-eight hours around a dollar a hour, then one of `last` dollars.
fn hours(last: i128) -> Vec<RollupRow> {
    let cents = [90, 95, 100, 105, 110];
    (0..48_i64)
        .map(|hour| (hour, i128::from(cents[hour as usize % 5]) * DOLLAR / 100))
        .chain([(48, last)])
        .map(|(hour, charge)| {
            with(row(hour, "a/b", 1, 0), |row| {
                row.sums.charge = PicoSum::new(charge)
            })
        })
        .collect()
}

fn last_hour() -> Period {
    Period::new(
        UtcTime::from_unix(START + 48 * HOUR),
        UtcTime::from_unix(START + 49 * HOUR),
    )
    .unwrap()
}

#[test]
fn an_hour_far_above_the_others_is_a_spike() {
    let rule = SpikeRule::default();
    let found = spikes(&hours(10 * DOLLAR), &last_hour(), &rule);
    assert_eq!(found.len(), 1);
    // The median is 1, the median distance of the logarithms ln(1.05) = 0.0488 or less, so the least one holds:
    // 0.6745 × ln 10 / (0.6745 × ln 1.1) = 24.16.
    assert!(
        (found[0].z - 10_f64.ln() / 1.1_f64.ln()).abs() < 1e-6,
        "{found:?}"
    );
    assert!((found[0].usual - 1.0).abs() < 1e-9);
    assert_eq!(
        (found[0].key.as_str(), found[0].charge),
        ("local", PicoSum::new(10 * DOLLAR))
    );
    // 1.1^3.5 = 1.396.
    assert!(spikes(&hours(139 * DOLLAR / 100), &last_hour(), &rule).is_empty());
    assert_eq!(spikes(&hours(140 * DOLLAR / 100), &last_hour(), &rule).len(), 1);
}

#[test]
fn under_a_dollar_or_without_history_nothing_is_a_spike() {
    let rule = SpikeRule::default();
    let mut rows = hours(0);
    for row in &mut rows {
        row.sums.charge = PicoSum::new(row.sums.charge.get() / 10_000);
    }
    rows.last_mut().unwrap().sums.charge = PicoSum::new(DOLLAR - 1);
    assert!(
        spikes(&rows, &last_hour(), &rule).is_empty(),
        "ten thousand times as much, and no dollar"
    );
    rows.last_mut().unwrap().sums.charge = PicoSum::new(DOLLAR);
    assert_eq!(spikes(&rows, &last_hour(), &rule).len(), 1);
    let rows = hours(1_000 * DOLLAR).split_off(30);
    assert!(
        spikes(&rows, &last_hour(), &rule).is_empty(),
        "eighteen hours are too few"
    );
    let simulated: Vec<RollupRow> = hours(10 * DOLLAR)
        .into_iter()
        .map(|row| with(row, |row| row.key.simulated = true))
        .collect();
    assert!(spikes(&simulated, &last_hour(), &rule).is_empty());
}

proptest! {
    /// Every real attempt of the period is in exactly one sum, and every cost too.
    #[test]
    fn waste_loses_nothing(rows in prop::collection::vec(any_row(), 0..40)) {
        let period = period(24 * 30);
        let found = waste(&rows, &period);
        let sums = [found.useful, found.failed_first, found.failed_later, found.cancelled_first, found.cancelled_later, found.open];
        let in_period = |row: &&RollupRow| !row.key.simulated && row.key.tag.is_none() && period.contains(row.key.hour.into());
        let cost: i128 = rows.iter().filter(in_period).map(|row| row.sums.cost.get()).sum();
        let attempts: u64 = rows.iter().filter(in_period).map(|row| row.sums.attempts).sum();
        prop_assert_eq!(sums.iter().map(|sum| sum.cost.get()).sum::<i128>(), cost);
        prop_assert_eq!(sums.iter().map(|sum| sum.attempts).sum::<u64>(), attempts);
    }

    /// Whatever the traffic: numbers come out, the range is one, and no model below the threshold is suggested.
    #[test]
    fn statistics_of_anything_are_numbers(rows in prop::collection::vec(any_row(), 0..60), hour in 0_i64..900, threshold in 0.0..100.0) {
        let now = UtcTime::from_unix(START + hour * HOUR);
        let found = forecast(&rows, now, &ForecastOptions::seeded(1));
        prop_assert!(found.expected.is_none_or(f64::is_finite));
        prop_assert!(found.range.is_none_or(|(low, high)| low.is_finite() && low <= high && high.is_finite()));
        prop_assert!(found.backtest.is_none_or(|backtest| backtest.mean_error.is_finite()));
        for spike in spikes(&rows, &period(800), &SpikeRule::default()) {
            prop_assert!(spike.z >= 3.5 && spike.z.is_finite() && spike.charge >= PicoSum::new(DOLLAR));
        }
        let needs = [TaskNeed::new("a", threshold, [(model("small/one"), 40.0), (model("tiny/one"), 60.0)])];
        for suggestion in suggestions(&rows, &period(800), &book(), &needs) {
            prop_assert!(suggestion.to_quality >= threshold && suggestion.comparison.saved_instead().get() > 0);
        }
    }
}

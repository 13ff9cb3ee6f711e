//! What a metric is, what a unit adds to it, and that merging is summing in one go.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::statistics::{Bivariate, Moments, StatisticsError};
use experiments::{
    ArmData, Attribution, Direction, ExperimentData, Kind, Margin, Measure, MetricError, MetricSpec,
    MetricSums, Metrics, QuantileSketch, Role, Standing, UnitKey, UnitRow, Values,
};
use proptest::prelude::*;

fn spec(key: &str, kind: Kind) -> MetricSpec {
    MetricSpec::new(key, Role::Goal, kind, Direction::HigherIsBetter)
}

fn proportion(of: Measure) -> MetricSpec {
    spec("rate", Kind::Proportion { of })
}

fn mean(of: Measure) -> MetricSpec {
    spec("mean", Kind::Mean { of })
}

fn cost_per_success() -> MetricSpec {
    spec(
        "cost_per_success",
        Kind::Ratio {
            numerator: Measure::Cost,
            denominator: Measure::Success,
        },
    )
}

fn arm(specs: impl IntoIterator<Item = MetricSpec>) -> ArmData {
    ArmData::new(&Metrics::new(specs).unwrap())
}

/// A unit with calls, all of them judged and priced.
fn row(unit: &str, calls: u64, successes: u64, cost_pico: i128) -> UnitRow {
    let mut row = UnitRow::new(unit, "a", 0);
    row.sums.calls = calls;
    row.sums.judged = calls;
    row.sums.successes = successes;
    row.sums.priced = calls;
    row.sums.cost_pico = cost_pico;
    row
}

#[test]
fn metrics_that_cannot_be_are_refused() {
    let why = |spec: MetricSpec| match Metrics::new([spec]) {
        Err(MetricError::Refused { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let with_margin = |margin| {
        let mut spec = proportion(Measure::Success);
        spec.margin = Some(margin);
        spec
    };
    assert!(why(spec("", Kind::Mean { of: Measure::Calls })).contains("no key"));
    assert!(why(proportion(Measure::Score)).contains("a proportion is of"));
    for q in [0.0, 1.0, f64::NAN, -0.5] {
        let of = Measure::LatencyMs;
        assert!(why(spec("q", Kind::Quantile { q, of })).contains("a quantile is"));
    }
    for margin in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(why(with_margin(Margin::Absolute(margin))).contains("absolute"));
    }
    for margin in [0.0, 1.0, f64::NAN] {
        assert!(why(with_margin(Margin::Relative(margin))).contains("relative"));
    }
    let mut guardrail = proportion(Measure::Success);
    guardrail.role = Role::Guardrail;
    assert!(why(guardrail.clone()).contains("needs a margin"));
    guardrail.margin = Some(Margin::Absolute(0.02));
    assert!(Metrics::new([guardrail]).is_ok());
    let mut ratio = cost_per_success();
    ratio.covariate = Some("past".into());
    assert!(why(ratio).contains("for proportions and means"));
    let mut empty = mean(Measure::Score);
    empty.covariate = Some(String::new());
    assert!(why(empty).contains("empty name"));
    assert!(why(mean(Measure::Named(String::new()))).contains("empty name"));
    let itself = Kind::Ratio {
        numerator: Measure::Cost,
        denominator: Measure::Cost,
    };
    assert!(why(spec("r", itself)).contains("always 1"));
    assert_eq!(
        Metrics::new([mean(Measure::Score), mean(Measure::Cost)]),
        Err(MetricError::Duplicate("mean".into()))
    );
}

#[test]
fn metrics_can_be_written_and_read_and_refuse_what_they_do_not_know() {
    let text = r#"[
        {"key": "success", "role": "guardrail", "kind": {"proportion": {"of": "success"}},
         "direction": "higher_is_better", "margin": {"absolute": 0.02}, "covariate": "past"},
        {"key": "cps", "role": "goal", "kind": {"ratio": {"numerator": "cost", "denominator": "success"}},
         "direction": "lower_is_better", "margin": {"relative": 0.05}},
        {"key": "p95", "role": "secondary", "kind": {"quantile": {"q": 0.95, "of": "latency_ms"}},
         "direction": "lower_is_better"},
        {"key": "own", "role": "secondary", "kind": {"mean": {"of": {"named": "length"}}},
         "direction": "lower_is_better"}
    ]"#;
    let metrics: Metrics = serde_json::from_str(text).unwrap();
    assert_eq!(metrics.specs().len(), 4);
    assert_eq!(metrics.specs()[1].margin, Some(Margin::Relative(0.05)));
    let written = serde_json::to_string(&metrics).unwrap();
    assert_eq!(serde_json::from_str::<Metrics>(&written).unwrap(), metrics);
    for (from, to) in [
        ("\"margin\"", "\"margins\""),
        ("\"q\": 0.95", "\"q\": 95"),
        ("{\"of\": \"success\"}", "{\"of\": \"success\", \"by\": 1}"),
        ("\"cps\"", "\"p95\""),
        ("\"goal\"", "\"target\""),
    ] {
        assert!(text.contains(from));
        assert!(
            serde_json::from_str::<Metrics>(&text.replace(from, to)).is_err(),
            "{to}"
        );
    }
}

#[test]
fn a_ratio_sums_by_unit_and_divides_over_all() {
    let mut data = arm([cost_per_success()]);
    for row in [
        row("u", 3, 2, 6_000_000_000_000),
        row("v", 1, 0, 1_000_000_000_000),
        row("w", 1, 1, 0),
    ] {
        data.push(&row).unwrap();
    }
    let MetricSums::Ratio(pair) = &data.metric("cost_per_success").unwrap().sums else {
        panic!()
    };
    assert_eq!(pair.n(), 3, "units, not calls");
    assert!((pair.x().sum() - 7.0).abs() < 1e-12, "dollars");
    assert!((pair.x().sum() / pair.y().sum() - 7.0 / 3.0).abs() < 1e-12);
}

#[test]
fn an_unknown_cost_is_missing_and_no_calls_cost_nothing() {
    let mut data = arm([mean(Measure::Cost)]);
    let mut unknown = row("u", 2, 2, 5);
    unknown.sums.priced = 1;
    data.push(&unknown).unwrap();
    data.push(&UnitRow::new("v", "a", 0)).unwrap();
    let metric = data.metric("mean").unwrap();
    let MetricSums::Mean(moments) = metric.sums else {
        panic!()
    };
    assert_eq!((metric.missing, moments.n(), moments.mean()), (1, 1, Some(0.0)));
    assert_eq!(data.units(), 2);
    let mut scores = arm([mean(Measure::Score), proportion(Measure::Success)]);
    scores.push(&UnitRow::new("v", "a", 0)).unwrap();
    assert!(
        scores.metrics().iter().all(|metric| metric.missing == 1),
        "no score is no score of 0"
    );
}

#[test]
fn a_proportion_of_units_with_several_values_is_refused_and_nothing_is_added() {
    let mut data = arm([mean(Measure::Calls), proportion(Measure::Success)]);
    data.push(&row("u", 1, 1, 0)).unwrap();
    data.push(&row("v", 1, 0, 0)).unwrap();
    let before = data.clone();
    assert_eq!(
        data.push(&row("w", 2, 1, 0)),
        Err(MetricError::SeveralValues {
            metric: "rate".into(),
            unit: "w".into(),
            values: 2
        })
    );
    assert_eq!(data, before);
    let MetricSums::Proportion(counts) = data.metric("rate").unwrap().sums else {
        panic!()
    };
    assert_eq!((counts.successes(), counts.n()), (1, 2));
}

#[test]
fn values_that_are_not_numbers_are_refused_and_nothing_is_added() {
    let mut score = row("u", 1, 1, 0);
    score.sums.score = Values { n: 1, sum: f64::NAN };
    let mut covariate = row("u", 1, 1, 0);
    covariate.covariates.insert("past".into(), f64::INFINITY);
    let mut large = row("u", 1, 1, 0);
    large.sums.named.insert("x".into(), Values { n: 1, sum: 1e16 });
    let mut with_covariate = mean(Measure::Calls);
    with_covariate.covariate = Some("past".into());
    let quantile = Kind::Quantile {
        q: 0.5,
        of: Measure::Named("x".into()),
    };
    let ratio = Kind::Ratio {
        numerator: Measure::Score,
        denominator: Measure::Scored,
    };
    for (row, spec) in [
        (&score, spec("s", Kind::Mean { of: Measure::Score })),
        (&score, spec("s", ratio)),
        (&covariate, with_covariate),
        (&large, spec("q", quantile)),
    ] {
        let mut data = arm([proportion(Measure::Failed), spec]);
        assert!(matches!(data.push(row), Err(MetricError::Statistics { .. })));
        assert_eq!(data, arm(data.metrics().iter().map(|metric| metric.spec.clone())));
    }
}

#[test]
fn a_covariate_goes_with_the_value_of_the_units_that_have_both() {
    let mut metric = mean(Measure::Calls);
    metric.covariate = Some("past".into());
    let mut data = arm([metric]);
    let mut expected = Bivariate::new();
    for (calls, past) in [(1u64, Some(2.0)), (3, Some(5.0)), (9, None)] {
        let mut row = row("u", calls, 0, 0);
        if let Some(past) = past {
            row.covariates.insert("past".into(), past);
            expected.push(calls as f64, past).unwrap();
        }
        data.push(&row).unwrap();
    }
    let metric = data.metric("mean").unwrap();
    assert_eq!(metric.with_covariate, Some(expected));
    let MetricSums::Mean(moments) = metric.sums else {
        panic!()
    };
    assert_eq!(moments.n(), 3);
}

#[test]
fn a_quantile_is_over_the_units_averages() {
    let of = Measure::LatencyMs;
    let mut data = arm([spec("p50", Kind::Quantile { q: 0.5, of })]);
    for (n, total) in [(2, 200), (1, 300), (4, 2_000)] {
        let mut row = row("u", n, 0, 0);
        row.sums.timed = n;
        row.sums.latency_ms = total;
        data.push(&row).unwrap();
    }
    let MetricSums::Quantile(sketch) = &data.metric("p50").unwrap().sums else {
        panic!()
    };
    let median = sketch.quantile(0.5).unwrap();
    assert!((median / 300.0 - 1.0).abs() <= 0.01, "{median}");
}

#[test]
fn who_is_left_out_is_counted_and_unknown_arms_are_refused() {
    let attribution = Attribution::new("e", 1, UnitKey::User, 100).unwrap();
    let metrics = Metrics::new([mean(Measure::Calls)]).unwrap();
    let mut data = ExperimentData::new(attribution.clone(), ["a", "b"], &metrics).unwrap();
    assert_eq!(
        ExperimentData::new(attribution.clone(), ["a", "b", "a"], &metrics),
        Err(MetricError::DuplicateArm("a".into()))
    );
    let now = 150;
    let plain = UnitRow::new("1", "b", 0);
    let mut forced = plain.clone();
    forced.forced = true;
    let mut versions = plain.clone();
    versions.versions = 2;
    let mut arms = plain.clone();
    arms.arms = 2;
    let young = [UnitRow::new("2", "a", 51), UnitRow::new("3", "b", 60)];
    for (row, standing) in [
        (&plain, Standing::Analysed),
        (&forced, Standing::Forced),
        (&versions, Standing::MultipleVersions),
        (&arms, Standing::MultipleArms),
        (&young[0], Standing::Immature),
        (&young[1], Standing::Immature),
    ] {
        assert_eq!(data.add(row, now), Ok(standing));
    }
    assert_eq!(
        data.add(&UnitRow::new("4", "c", 0), now),
        Err(MetricError::UnknownArm("c".into()))
    );
    let excluded = data.excluded();
    assert_eq!(
        (
            excluded.forced,
            excluded.multiple_versions,
            excluded.multiple_arms,
            excluded.immature
        ),
        (1, 1, 1, 2)
    );
    assert_eq!(
        data.arms()
            .map(|(arm, data)| (arm, data.units()))
            .collect::<Vec<_>>(),
        [("a", 0), ("b", 1)]
    );
    let twice = {
        let mut twice = data.clone();
        twice.merge(&data).unwrap();
        twice
    };
    assert_eq!(
        (twice.arm("b").unwrap().units(), twice.excluded().immature),
        (2, 4)
    );
    let other_window = Attribution::new("e", 1, UnitKey::User, 99).unwrap();
    let none = Metrics::default();
    for other in [
        ExperimentData::new(other_window, ["a", "b"], &metrics),
        ExperimentData::new(attribution.clone(), ["a"], &metrics),
        ExperimentData::new(attribution.clone(), ["b", "a"], &metrics),
        ExperimentData::new(attribution, ["a", "b"], &none),
    ] {
        assert_eq!(data.merge(&other.unwrap()), Err(MetricError::OtherData));
    }
    assert_eq!(
        arm([]).merge(&arm([mean(Measure::Calls)])),
        Err(MetricError::OtherData)
    );
}

#[test]
fn a_sketch_refuses_what_it_cannot_hold_and_checks_what_it_reads() {
    let mut sketch = QuantileSketch::default();
    assert!(matches!(
        sketch.quantile(0.5),
        Err(StatisticsError::TooFew { .. })
    ));
    for bad in [f64::NAN, f64::INFINITY, 1e16, -1e16] {
        assert!(sketch.push(bad).is_err());
    }
    assert_eq!(sketch.n(), 0);
    for edge in [0.0, 1e-9, -1e-9, 1e15, -1e15, 1e-300] {
        sketch.push(edge).unwrap();
    }
    assert_eq!(sketch.order_statistic(0), None);
    assert_eq!(sketch.order_statistic(7), None);
    assert!((sketch.order_statistic(6).unwrap() / 1e15 - 1.0).abs() <= 0.01);
    assert!(sketch.quantile(0.0).is_err() && sketch.quantile(1.0).is_err());
    let text = serde_json::to_string(&sketch).unwrap();
    assert_eq!(serde_json::from_str::<QuantileSketch>(&text).unwrap(), sketch);
    assert!(serde_json::from_str::<QuantileSketch>(r#"{"2765": 1}"#).is_err());
    assert!(serde_json::from_str::<QuantileSketch>(r#"{"1": -1}"#).is_err());
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn alike(a: &Moments, b: &Moments) -> bool {
    let variance = |m: &Moments| m.variance().unwrap_or(0.0);
    a.n() == b.n()
        && close(a.mean().unwrap_or(0.0), b.mean().unwrap_or(0.0))
        && close(variance(a), variance(b))
}

fn both_alike(a: &Bivariate, b: &Bivariate) -> bool {
    let covariance = |m: &Bivariate| m.covariance().unwrap_or(0.0);
    alike(a.x(), b.x()) && alike(a.y(), b.y()) && close(covariance(a), covariance(b))
}

fn all_kinds() -> Vec<MetricSpec> {
    let mut adjusted = mean(Measure::Calls);
    adjusted.covariate = Some("past".into());
    let of = Measure::LatencyMs;
    vec![
        proportion(Measure::Success),
        adjusted,
        cost_per_success(),
        spec("p90", Kind::Quantile { q: 0.9, of }),
    ]
}

fn any_row() -> impl Strategy<Value = UnitRow> {
    (
        0u64..2,
        any::<bool>(),
        0i64..1_000_000_000_000,
        prop::option::of(-5.0f64..5.0),
        0u64..100_000,
        any::<bool>(),
    )
        .prop_map(|(calls, success, cost, past, latency, priced)| {
            let mut row = row("u", calls, u64::from(success) * calls, i128::from(cost));
            row.sums.priced = u64::from(priced) * calls;
            row.sums.timed = calls;
            row.sums.latency_ms = latency * calls;
            row.covariates.extend(past.map(|past| ("past".to_owned(), past)));
            row
        })
}

proptest! {
    #[test]
    fn what_nodes_sum_up_apart_is_what_one_sums_up(
        rows in prop::collection::vec((any_row(), 0usize..3), 0..60),
    ) {
        let mut whole = arm(all_kinds());
        let mut nodes = [arm(all_kinds()), arm(all_kinds()), arm(all_kinds())];
        for (row, node) in &rows {
            whole.push(row).unwrap();
            nodes[*node].push(row).unwrap();
        }
        let [mut merged, second, third] = nodes;
        merged.merge(&second).unwrap();
        merged.merge(&third).unwrap();
        prop_assert_eq!(merged.units(), whole.units());
        for (a, b) in merged.metrics().iter().zip(whole.metrics()) {
            prop_assert_eq!(a.missing, b.missing);
            match (a.with_covariate, b.with_covariate) {
                (None, None) => {}
                (Some(a), Some(b)) => prop_assert!(both_alike(&a, &b)),
                _ => prop_assert!(false),
            }
            match (&a.sums, &b.sums) {
                (MetricSums::Proportion(a), MetricSums::Proportion(b)) => prop_assert_eq!(a, b),
                (MetricSums::Mean(a), MetricSums::Mean(b)) => prop_assert!(alike(a, b)),
                (MetricSums::Ratio(a), MetricSums::Ratio(b)) => prop_assert!(both_alike(a, b)),
                (MetricSums::Quantile(a), MetricSums::Quantile(b)) => prop_assert_eq!(a, b),
                _ => prop_assert!(false),
            }
        }
        let values: Vec<u64> = whole.metrics().iter().map(|metric| metric.missing + match &metric.sums {
            MetricSums::Proportion(counts) => counts.n(),
            MetricSums::Mean(moments) => moments.n(),
            MetricSums::Ratio(pair) => pair.n(),
            MetricSums::Quantile(sketch) => sketch.n(),
            _ => 0,
        }).collect();
        prop_assert!(values.iter().all(|n| *n == whole.units()), "every unit has a value or is missing: {:?}", values);
    }

    #[test]
    fn an_order_statistic_is_within_one_percent_of_the_exact_one(
        values in prop::collection::vec(prop_oneof![-1e6f64..1e6, 1e-8f64..1e-3, Just(0.0), 1.0f64..1e15], 1..200),
        q in 0.01f64..0.99,
    ) {
        let mut sketch = QuantileSketch::default();
        values.iter().for_each(|value| sketch.push(*value).unwrap());
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        for (i, exact) in sorted.iter().enumerate() {
            let seen = sketch.order_statistic(i as u64 + 1).unwrap();
            prop_assert!((seen - exact).abs() <= 0.010_000_1 * exact.abs() + 1e-9, "{} {}", seen, exact);
        }
        let rank = (q * sorted.len() as f64).ceil() as u64;
        prop_assert_eq!(sketch.quantile(q).unwrap(), sketch.order_statistic(rank).unwrap());
    }
}

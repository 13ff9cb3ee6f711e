use experiments::analysis::{AnalysisError, Standing, State, analyse};
use experiments::{MetricError, Standing as Stands};
use proptest::prelude::*;

use super::{DAY, cheaper, halves, plan, timeline, unit};

#[test]
fn what_cannot_be_compared_is_an_error() {
    let plan = cheaper("");
    let error = analyse(&plan, &timeline(&plan, &["a", "b"]), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plan's control 'strong' is none of the arms: a, b"
    );
    assert_eq!(
        analyse(&plan, &timeline(&plan, &["strong"]), &[]).unwrap_err(),
        AnalysisError::OneArm
    );
    let mut timeline = timeline(&plan, &["strong", "cheap"]);
    assert!(matches!(
        timeline.add_as(&unit("other", 0, true, 1), Stands::Analysed),
        Err(AnalysisError::Metric(MetricError::UnknownArm(_)))
    ));
    for day in 0..4_096 {
        timeline
            .add_as(&unit("strong", day * DAY, true, 1), Stands::Analysed)
            .unwrap();
    }
    let error = timeline
        .add_as(&unit("strong", i64::MAX, true, 1), Stands::Analysed)
        .unwrap_err();
    assert!(error.to_string().contains("more than 4096 looks"), "{error}");
}

#[test]
fn nothing_is_too_little_for_a_report() {
    for engine in [
        "",
        "engine = \"fixed_horizon\"\nhorizon_units = 10",
        "engine = { group_sequential = { looks = 3 } }\nhorizon_units = 10",
        "engine = { bayesian = {} }\nhorizon_units = 10",
    ] {
        let plan = cheaper(engine);
        let report = analyse(&plan, &timeline(&plan, &["strong", "cheap"]), &halves()).unwrap();
        assert_eq!(report.decision.state, State::KeepRunning);
        assert!(
            report.treatments[0]
                .metrics
                .iter()
                .all(|metric| metric.standing == Standing::Unknown)
        );
        assert_eq!((report.first_exposure_ms, report.sample_ratio), (None, None));
    }
}

/// All units cost the same and all succeed: no chance moves anything, and no method may say more than that.
#[test]
fn without_any_spread_nothing_is_shown() {
    for engine in ["", "engine = \"fixed_horizon\"\nhorizon_units = 100"] {
        let plan = cheaper(engine);
        let mut timeline = timeline(&plan, &["strong", "cheap"]);
        for i in 0..500 {
            timeline
                .add_as(&unit("strong", i, true, 2_000), Stands::Analysed)
                .unwrap();
            timeline
                .add_as(&unit("cheap", i, true, 1_000), Stands::Analysed)
                .unwrap();
        }
        let report = analyse(&plan, &timeline, &halves()).unwrap();
        let cost = &report.treatments[0].metrics[0];
        assert_eq!(cost.standing, Standing::Unknown);
        assert!(
            cost.unknown.as_ref().unwrap().contains("same value"),
            "{:?}",
            cost.unknown
        );
        assert_ne!(report.decision.state, State::Ship);
    }
}

#[test]
fn a_control_of_zero_has_no_relative_difference() {
    let plan = plan(
        "control = \"strong\"\n[[metrics]]\nkey = \"score\"\nrole = \"goal\"\nkind = { mean = { of = \"score\" } }\n\
         direction = \"higher_is_better\"",
    );
    let mut timeline = timeline(&plan, &["strong", "cheap"]);
    for i in 0..400 {
        for (arm, score) in [("strong", 0.0), ("cheap", (i % 2) as f64)] {
            let mut row = unit(arm, i64::from(i), true, 1);
            row.sums.score = experiments::Values { n: 1, sum: score };
            timeline.add_as(&row, Stands::Analysed).unwrap();
        }
    }
    let report = analyse(&plan, &timeline, &halves()).unwrap();
    let score = &report.treatments[0].metrics[0];
    assert_eq!((score.relative, score.standing), (None, Standing::Shown));
    // The prior is as wide as the control is large, so there is none.
    assert_eq!(score.chance_better, None);
}

const ENGINES: [&str; 6] = [
    "",
    "horizon_units = 50",
    "engine = { sequential = { mixing = { effect_scale = { tau = 0.1 } } } }",
    "engine = \"fixed_horizon\"\nhorizon_units = 20",
    "engine = { group_sequential = { looks = 3 } }\nhorizon_units = 60",
    "engine = { bayesian = { prior = 0.5 } }\nhorizon_units = 20",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever units there are, there is a report that says so; every p-value is one, and the same data give the same report.
    #[test]
    fn any_units_have_a_report(
        rows in prop::collection::vec(
            (0..3_usize, -5_i64..400, any::<bool>(), prop_oneof![Just(0_i128), 1..100_i128, Just(i128::from(i64::MAX))], 0..3_u64, 0..4_u8),
            0..300,
        ),
        engine in 0..ENGINES.len(),
    ) {
        let text = format!(
            "control = \"strong\"\nlook_hours = 24\n{}\n\
             [[metrics]]\nkey = \"cost\"\nrole = \"goal\"\nkind = {{ mean = {{ of = \"cost\" }} }}\ndirection = \"lower_is_better\"\n\
             [[metrics]]\nkey = \"ok\"\nrole = \"guardrail\"\nkind = {{ proportion = {{ of = \"success\" }} }}\ndirection = \"higher_is_better\"\nmargin = {{ absolute = 0.1 }}\nexact = true\n\
             [[metrics]]\nkey = \"per\"\nrole = \"secondary\"\nkind = {{ ratio = {{ numerator = \"cost\", denominator = \"success\" }} }}\ndirection = \"lower_is_better\"\n\
             [[metrics]]\nkey = \"p50\"\nrole = \"guardrail\"\nkind = {{ quantile = {{ q = 0.5, of = \"latency_ms\" }} }}\ndirection = \"lower_is_better\"\nmargin = {{ relative = 0.1 }}\n\
             [[metrics]]\nkey = \"adjusted\"\nrole = \"secondary\"\nkind = {{ mean = {{ of = \"cost\" }} }}\ndirection = \"lower_is_better\"\ncovariate = \"x\"\n",
            ENGINES[engine]
        );
        let plan = plan(&text);
        let arms = ["strong", "a", "b"];
        let mut timeline = timeline(&plan, &arms);
        for (arm, day, success, cost, latency, stands) in rows {
            let mut row = unit(arms[arm], day * DAY, success, cost);
            row.sums.latency_ms = latency;
            row.covariates.insert("x".to_owned(), latency as f64);
            let stands = [Stands::Analysed, Stands::Analysed, Stands::Forced, Stands::MultipleArms][usize::from(stands)];
            timeline.add_as(&row, stands).unwrap();
        }
        let weights = [experiments::Arm::new("strong", 4_000), experiments::Arm::new("a", 3_000), experiments::Arm::new("b", 3_000)];
        let report = analyse(&plan, &timeline, &weights).unwrap();
        prop_assert_eq!(serde_json::to_string(&report).unwrap(), serde_json::to_string(&analyse(&plan, &timeline, &weights).unwrap()).unwrap());
        prop_assert!(!report.decision.sentence.is_empty());
        for metric in report.treatments.iter().flat_map(|treatment| &treatment.metrics) {
            for p in [metric.p_value, metric.p_value_worse, metric.adjusted_p_value, metric.chance_better].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&p), "{}: {}", &metric.metric, p);
            }
            prop_assert_eq!(metric.unknown.is_some(), metric.standing == Standing::Unknown);
        }
        let _ = (report.to_text("t"), report.to_html("t", &[]));
    }
}

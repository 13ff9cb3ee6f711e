use experiments::analysis::{Standing, State, analyse};
use experiments::{Arm, Standing as Stands};

use super::{DAY, cheaper, fill, plan, timeline, two_arms, unit};

const DOLLAR_CENT: i128 = 10_000_000_000;

#[test]
fn the_cheaper_one_is_shipped_if_it_is_not_worse() {
    for engine in [
        "",
        "engine = \"fixed_horizon\"\nhorizon_units = 20000",
        "engine = { group_sequential = { looks = 5 } }\nhorizon_units = 20000",
        "engine = { bayesian = {} }\nhorizon_units = 20000",
    ] {
        let report = two_arms(
            &cheaper(engine),
            (10_000, 8_000, DOLLAR_CENT),
            (10_000, 8_010, DOLLAR_CENT / 2),
            14,
        );
        assert_eq!(
            report.decision.state,
            State::Ship,
            "{engine}: {}",
            report.decision.sentence
        );
        assert_eq!(report.decision.arm.as_deref(), Some("cheap"));
        for part in [
            "Ship 'cheap'",
            "cost is lower (50 % lower",
            "success is not worse by more than 2 points",
        ] {
            assert!(
                report.decision.sentence.contains(part),
                "{part}: {}",
                report.decision.sentence
            );
        }
    }
}

#[test]
fn one_that_is_worse_by_more_than_the_margin_is_rolled_back() {
    for engine in [
        "",
        "engine = \"fixed_horizon\"\nhorizon_units = 20000",
        "engine = { group_sequential = { looks = 5 } }\nhorizon_units = 20000",
        "engine = { bayesian = {} }\nhorizon_units = 20000",
    ] {
        let report = two_arms(
            &cheaper(engine),
            (10_000, 8_000, DOLLAR_CENT),
            (10_000, 7_400, DOLLAR_CENT / 2),
            14,
        );
        assert_eq!(
            report.decision.state,
            State::RollBack,
            "{engine}: {}",
            report.decision.sentence
        );
        assert!(
            report
                .decision
                .sentence
                .contains("success is worse by more than 2 points")
        );
    }
}

#[test]
fn one_that_is_dearer_is_rolled_back_and_told_why() {
    let report = two_arms(
        &cheaper(""),
        (5_000, 4_000, DOLLAR_CENT),
        (5_000, 4_000, 2 * DOLLAR_CENT),
        14,
    );
    assert_eq!(report.decision.state, State::RollBack);
    assert!(
        report
            .decision
            .sentence
            .contains("cost is higher, not lower (100 % higher"),
        "{}",
        report.decision.sentence
    );
}

/// "Not significantly worse" is not "not worse".
#[test]
fn too_few_units_keep_running_and_say_how_many_more() {
    let report = two_arms(
        &cheaper(""),
        (400, 320, DOLLAR_CENT),
        (400, 320, DOLLAR_CENT / 2),
        14,
    );
    assert_eq!(report.decision.state, State::KeepRunning);
    let success = &report.treatments[0].metrics[1];
    assert_eq!(success.standing, Standing::Open);
    let needed = success.units_needed.unwrap();
    assert!((5_000..30_000).contains(&needed), "{needed}");
    assert!(
        report.decision.sentence.contains("more units would show it"),
        "{}",
        report.decision.sentence
    );
    // With as many, it is shown.
    let half = needed / 2 + 50;
    let then = two_arms(
        &cheaper(""),
        (half, half * 4 / 5, DOLLAR_CENT),
        (half, half * 4 / 5, DOLLAR_CENT / 2),
        14,
    );
    assert_eq!(then.decision.state, State::Ship, "{}", then.decision.sentence);
}

#[test]
fn a_fixed_plan_says_nothing_before_its_units_are_there() {
    let plan = cheaper("engine = \"fixed_horizon\"\nhorizon_units = 20000");
    for successes in [8_010, 7_000] {
        let report = two_arms(
            &plan,
            (9_990, 8_000, DOLLAR_CENT),
            (9_990, successes, DOLLAR_CENT / 2),
            14,
        );
        assert_eq!(report.decision.state, State::KeepRunning);
        assert!(
            report.decision.sentence.contains("19,980 of the planned 20,000"),
            "{}",
            report.decision.sentence
        );
    }
}

#[test]
fn planned_units_without_an_answer_are_inconclusive() {
    let plan = cheaper("horizon_units = 2000");
    let report = two_arms(
        &plan,
        (1_000, 800, DOLLAR_CENT),
        (1_000, 790, DOLLAR_CENT / 2),
        14,
    );
    assert_eq!(report.decision.state, State::Inconclusive);
    assert!(
        report.decision.sentence.contains("Keep 'strong'"),
        "{}",
        report.decision.sentence
    );
}

#[test]
fn nothing_is_shipped_before_the_least_days_but_harm_is_stopped() {
    let plan = cheaper("least_days = 14");
    let good = two_arms(
        &plan,
        (10_000, 8_000, DOLLAR_CENT),
        (10_000, 8_010, DOLLAR_CENT / 2),
        3,
    );
    assert_eq!(good.decision.state, State::KeepRunning);
    assert!(
        good.decision.sentence.contains("14 days, of which 12 are left"),
        "{}",
        good.decision.sentence
    );
    let bad = two_arms(
        &plan,
        (10_000, 8_000, DOLLAR_CENT),
        (10_000, 7_000, DOLLAR_CENT / 2),
        3,
    );
    assert_eq!(bad.decision.state, State::RollBack);
}

#[test]
fn a_split_that_is_off_stops_everything() {
    for engine in ["", "engine = \"fixed_horizon\"\nhorizon_units = 10000"] {
        let report = two_arms(
            &cheaper(engine),
            (10_000, 8_000, DOLLAR_CENT),
            (9_000, 7_210, DOLLAR_CENT / 2),
            14,
        );
        assert!(report.sample_ratio.unwrap().mismatch);
        assert_eq!(report.decision.state, State::Inconclusive);
        assert!(
            report
                .decision
                .sentence
                .contains("no comparison is to be believed")
        );
    }
}

#[test]
fn units_in_an_arm_that_gets_none_are_a_mismatch() {
    let plan = cheaper("");
    let mut timeline = timeline(&plan, &["strong", "cheap", "off"]);
    fill(&mut timeline, "strong", 500, 400, DOLLAR_CENT, 2);
    fill(&mut timeline, "cheap", 500, 400, DOLLAR_CENT, 2);
    fill(&mut timeline, "off", 1, 1, DOLLAR_CENT, 2);
    let arms = [
        Arm::new("strong", 5_000),
        Arm::new("cheap", 5_000),
        Arm::new("off", 0),
    ];
    assert!(
        analyse(&plan, &timeline, &arms)
            .unwrap()
            .sample_ratio
            .unwrap()
            .mismatch
    );
    // Without weights there is nothing to hold it against.
    assert!(analyse(&plan, &timeline, &[]).unwrap().sample_ratio.is_none());
}

#[test]
fn of_several_treatments_the_best_is_shipped_and_luck_is_corrected_for() {
    let plan = cheaper("");
    let mut timeline = timeline(&plan, &["strong", "cheap", "cheapest", "broken"]);
    fill(&mut timeline, "strong", 20_000, 16_000, DOLLAR_CENT, 14);
    fill(&mut timeline, "cheap", 20_000, 16_010, DOLLAR_CENT / 2, 14);
    fill(&mut timeline, "cheapest", 20_000, 16_010, DOLLAR_CENT / 3, 14);
    fill(&mut timeline, "broken", 20_000, 14_000, DOLLAR_CENT / 4, 14);
    let report = analyse(&plan, &timeline, &[]).unwrap();
    assert_eq!(report.decision.state, State::Ship);
    assert_eq!(report.decision.arm.as_deref(), Some("cheapest"));
    let of = |arm: &str| report.treatments.iter().find(|one| one.arm == arm).unwrap();
    assert_eq!(of("broken").state, State::RollBack);
    // Two claims of α = .05 each pass; the p-value of a treatment is the larger of its claims', times what Holm asks for.
    let raw = of("cheap")
        .metrics
        .iter()
        .filter_map(|metric| metric.p_value)
        .fold(0.0, f64::max);
    assert!(of("cheap").p_value.unwrap() > raw);
}

/// p = .03 by itself is not enough for one of three.
#[test]
fn one_of_three_needs_a_third_of_alpha() {
    let text = |correction: &str| {
        format!(
            "control = \"strong\"\nengine = \"fixed_horizon\"\nhorizon_units = 100\ncorrection = \"{correction}\"\n[[metrics]]\n\
             key = \"success\"\nrole = \"goal\"\nkind = {{ proportion = {{ of = \"success\" }} }}\ndirection = \"higher_is_better\""
        )
    };
    let report = |correction: &str| {
        let plan = plan(&text(correction));
        let mut timeline = timeline(&plan, &["strong", "a", "b", "c"]);
        fill(&mut timeline, "strong", 1_000, 800, DOLLAR_CENT, 14);
        fill(&mut timeline, "a", 1_000, 834, DOLLAR_CENT, 14);
        fill(&mut timeline, "b", 1_000, 801, DOLLAR_CENT, 14);
        fill(&mut timeline, "c", 1_000, 800, DOLLAR_CENT, 14);
        analyse(&plan, &timeline, &[]).unwrap()
    };
    let (alone, corrected) = (report("none"), report("holm"));
    let p = alone.treatments[0].p_value.unwrap();
    assert!((0.02..0.05).contains(&p), "{p}");
    assert_eq!(alone.decision.state, State::Ship);
    assert_eq!(corrected.treatments[0].p_value, Some(3.0 * p));
    assert_eq!(corrected.decision.state, State::Inconclusive);
}

#[test]
fn secondary_metrics_decide_nothing_and_are_corrected() {
    let plan = plan(
        r#"
        control = "strong"
        [[metrics]]
        key = "cost"
        role = "goal"
        kind = { mean = { of = "cost" } }
        direction = "lower_is_better"
        [[metrics]]
        key = "success"
        role = "secondary"
        kind = { proportion = { of = "success" } }
        direction = "higher_is_better"
        "#,
    );
    let report = two_arms(
        &plan,
        (5_000, 4_000, DOLLAR_CENT),
        (5_000, 2_000, DOLLAR_CENT / 2),
        14,
    );
    assert_eq!(report.decision.state, State::Ship);
    let success = &report.treatments[0].metrics[1];
    assert_eq!(success.standing, Standing::Worse);
    assert!(success.adjusted_p_value.unwrap() < 0.001);
    assert_eq!(report.treatments[0].metrics[0].adjusted_p_value, None);
}

#[test]
fn units_that_are_left_out_are_counted_and_not_analysed() {
    let plan = cheaper("");
    let mut timeline = timeline(&plan, &["strong", "cheap"]);
    fill(&mut timeline, "strong", 200, 160, DOLLAR_CENT, 2);
    fill(&mut timeline, "cheap", 200, 160, DOLLAR_CENT, 2);
    for stands in [
        Stands::Forced,
        Stands::MultipleVersions,
        Stands::MultipleArms,
        Stands::Immature,
    ] {
        for _ in 0..50 {
            timeline
                .add_as(&unit("cheap", DAY, false, DOLLAR_CENT), stands)
                .unwrap();
        }
    }
    let report = analyse(&plan, &timeline, &super::halves()).unwrap();
    assert_eq!((report.units, report.arms[1].units), (400, 200));
    let left_out = report.excluded;
    assert_eq!(
        (
            left_out.forced,
            left_out.multiple_versions,
            left_out.multiple_arms,
            left_out.immature
        ),
        (50, 50, 50, 50)
    );
    assert!(
        report.warnings[0].contains("50 of 450 units met more than one arm"),
        "{:?}",
        report.warnings
    );
}

#[test]
fn figures_that_are_missing_in_one_arm_are_told() {
    let plan = cheaper("");
    let mut timeline = timeline(&plan, &["strong", "cheap"]);
    fill(&mut timeline, "strong", 1_000, 800, DOLLAR_CENT, 2);
    fill(&mut timeline, "cheap", 800, 640, DOLLAR_CENT, 2);
    for _ in 0..200 {
        let mut row = unit("cheap", DAY, true, DOLLAR_CENT);
        row.sums.judged = 0;
        timeline.add_as(&row, Stands::Analysed).unwrap();
    }
    let report = analyse(&plan, &timeline, &super::halves()).unwrap();
    assert!(
        report.warnings[0].contains("'success' is not known of 20.0 % of the units of 'cheap'"),
        "{:?}",
        report.warnings
    );
    assert_eq!(report.treatments[0].metrics[1].treatment.missing, 200);
}

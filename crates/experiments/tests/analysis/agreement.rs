use experiments::analysis::{Standing, analyse};
use experiments::fixed::means::welch;
use experiments::fixed::proportions::newcombe;
use experiments::noninferiority::{self, Margin, ProportionMethod};
use experiments::sequential::{Estimate, GroupSequential, Mixing, MixtureTest, Spending};
use experiments::statistics::{Alternative, Counts, Level, Moments};
use experiments::{Direction, Standing as Stands};

use super::{DAY, cheaper, fill, plan, timeline, two_arms, unit};

const CENT: i128 = 10_000_000_000;

fn level() -> Level {
    Level::new(0.05).unwrap()
}

fn near(one: f64, other: f64) {
    assert!(
        (one - other).abs() <= 1e-12 * other.abs().max(1.0),
        "{one} beside {other}"
    );
}

/// The costs that `fill` gives.
fn costs(n: u64, mean_pico: i128) -> Moments {
    let mut moments = Moments::new();
    for i in 0..n {
        let cost = mean_pico + (i128::from(i % 3) - 1) * mean_pico / 10;
        moments.push(cost as f64 / 1e12).unwrap();
    }
    moments
}

#[test]
fn a_fixed_analysis_is_farrington_manning_newcombe_and_welch() {
    let plan = cheaper("engine = \"fixed_horizon\"\nhorizon_units = 2000");
    let report = two_arms(&plan, (1_000, 800, CENT), (1_000, 790, CENT / 2), 14);
    let [cost, success] = &report.treatments[0].metrics[..] else {
        panic!("two metrics")
    };

    let (control, treatment) = (Counts::new(800, 1_000).unwrap(), Counts::new(790, 1_000).unwrap());
    let expected = noninferiority::proportions(
        control,
        treatment,
        Margin::new(0.02).unwrap(),
        Direction::HigherIsBetter,
        ProportionMethod::FarringtonManning,
        level(),
    )
    .unwrap();
    near(success.p_value.unwrap(), expected.p_value.unwrap());
    let interval = newcombe(control, treatment, Level::new(0.1).unwrap()).unwrap();
    near(success.low.unwrap(), interval.low);
    near(success.high.unwrap(), interval.high);
    near(success.difference.unwrap(), -0.01);
    near(success.limit.unwrap(), -0.02);

    let expected = welch(
        &costs(1_000, CENT),
        &costs(1_000, CENT / 2),
        Level::new(0.1).unwrap(),
        Alternative::Less,
    )
    .unwrap();
    near(cost.difference.unwrap(), expected.estimate);
    near(cost.low.unwrap(), expected.interval.low);
    near(cost.high.unwrap(), expected.interval.high);
    near(cost.p_value.unwrap(), expected.p_value);
}

#[test]
fn a_relative_margin_is_a_contrast_of_means() {
    let plan = plan(
        "control = \"strong\"\nengine = \"fixed_horizon\"\nhorizon_units = 600\n[[metrics]]\nkey = \"cost\"\nrole = \"guardrail\"\n\
         kind = { mean = { of = \"cost\" } }\ndirection = \"lower_is_better\"\nmargin = { relative = 0.05 }",
    );
    let report = two_arms(&plan, (300, 200, CENT), (300, 200, CENT * 103 / 100), 14);
    let cost = &report.treatments[0].metrics[0];
    let expected = noninferiority::relative(
        &costs(300, CENT),
        &costs(300, CENT * 103 / 100),
        Margin::new(0.05).unwrap(),
        Direction::LowerIsBetter,
        level(),
    )
    .unwrap();
    near(cost.p_value.unwrap(), expected.p_value.unwrap());
    near(cost.limit.unwrap(), 0.05 * 0.01);
    assert_eq!(cost.standing == Standing::Shown, expected.shown);
}

/// A look a day, and the largest evidence of all looks.
#[test]
fn a_sequential_analysis_is_a_confidence_sequence_with_a_look_a_day() {
    let plan = cheaper("horizon_units = 4000");
    let report = two_arms(&plan, (2_000, 1_600, CENT), (2_000, 1_610, CENT / 2), 10);
    let [cost, success] = &report.treatments[0].metrics[..] else {
        panic!("two metrics")
    };
    assert_eq!(success.looks.len(), 10);
    assert_eq!(success.looks[0].at_ms, DAY);
    let mixing = Mixing::TunedFor { units: 4_000 };
    let mut better = MixtureTest::new(mixing, level(), Alternative::Greater, -0.02).unwrap();
    let worse = MixtureTest::new(mixing, level(), Alternative::Less, -0.02).unwrap();
    let mut at_look = Vec::new();
    for day in 1..=10_u64 {
        let n = 200 * day;
        let (control, treatment) = (
            Counts::new(n * 4 / 5, n).unwrap(),
            Counts::new(n * 161 / 200, n).unwrap(),
        );
        let estimate = Estimate::of_rates(&control, &treatment).unwrap();
        better.look(&estimate);
        at_look.push((better.interval(&estimate).low, worse.interval(&estimate).high));
    }
    for (point, (low, high)) in success.looks.iter().zip(&at_look) {
        near(point.low.unwrap(), *low);
        near(point.high.unwrap(), *high);
    }
    near(success.p_value.unwrap(), better.p_value());
    near(success.e_value.unwrap(), 1.0 / better.p_value());

    let mut cheaper = MixtureTest::new(mixing, level(), Alternative::Greater, 0.0).unwrap();
    let mut last = None;
    for day in 1..=10_u64 {
        let (control, treatment) = (costs(200 * day, -CENT), costs(200 * day, -CENT / 2));
        last = Some(cheaper.look(&Estimate::of_means(&control, &treatment).unwrap()));
    }
    assert!((cost.high.unwrap() + last.unwrap().interval.low).abs() < 1e-9);
    // Beyond what a number can hold, and told as the largest.
    assert_eq!(
        (cost.p_value, cheaper.p_value(), cost.e_value),
        (Some(0.0), 0.0, Some(f64::MAX))
    );
}

#[test]
fn planned_looks_are_taken_when_their_units_are_there() {
    let plan =
        cheaper("engine = { group_sequential = { looks = 4, spending = \"pocock\" } }\nhorizon_units = 4000");
    let report = two_arms(&plan, (2_000, 1_600, CENT), (2_000, 1_610, CENT / 2), 10);
    let success = &report.treatments[0].metrics[1];
    // Of ten days, those on which a quarter more is there: 25 % is on day 3, 50 % on day 5, 75 % on day 8.
    let days: Vec<i64> = success.looks.iter().map(|point| point.at_ms / DAY).collect();
    assert_eq!(days, [3, 5, 8, 10]);
    let test = GroupSequential {
        level: level(),
        spending: Spending::Pocock,
        alternative: Alternative::Greater,
    };
    let bounds = test.bounds(&[0.3, 0.5, 0.8, 1.0]).unwrap();
    let half = bounds[3].z * success.standard_error.unwrap();
    near(success.low.unwrap(), success.difference.unwrap() - half);
    near(success.high.unwrap(), success.difference.unwrap() + half);
    assert_eq!((success.p_value, success.e_value), (None, None));
}

#[test]
fn an_exact_test_answers_where_failures_are_rare() {
    let text = |exact: bool| {
        format!(
            "control = \"strong\"\n[[metrics]]\nkey = \"failed\"\nrole = \"guardrail\"\nkind = {{ proportion = {{ of = \"failed\" }} }}\n\
             direction = \"lower_is_better\"\nmargin = {{ absolute = 0.05 }}\nexact = {exact}"
        )
    };
    let report = |exact: bool| {
        let plan = plan(&text(exact));
        let mut timeline = timeline(&plan, &["strong", "cheap"]);
        for i in 0..600_i64 {
            for arm in ["strong", "cheap"] {
                timeline
                    .add_as(&unit(arm, i * DAY / 20, true, CENT), Stands::Analysed)
                    .unwrap();
            }
        }
        analyse(&plan, &timeline, &super::halves()).unwrap()
    };
    let (gated, exact) = (report(false), report(true));
    let waits = &gated.treatments[0].metrics[0];
    assert_eq!(waits.standing, Standing::Unknown);
    assert!(
        waits.unknown.as_ref().unwrap().contains("successes"),
        "{:?}",
        waits.unknown
    );
    let shown = &exact.treatments[0].metrics[0];
    assert_eq!(shown.standing, Standing::Shown, "{shown:?}");
    assert!(shown.high.unwrap() < 0.05 && shown.low.unwrap() > -0.05);
}

#[test]
fn cost_per_success_and_a_quantile_have_intervals() {
    let plan = plan(
        r#"
        control = "strong"
        [[metrics]]
        key = "cost_per_success"
        role = "goal"
        kind = { ratio = { numerator = "cost", denominator = "success" } }
        direction = "lower_is_better"
        [[metrics]]
        key = "p95_latency"
        role = "guardrail"
        kind = { quantile = { q = 0.95, of = "latency_ms" } }
        direction = "lower_is_better"
        margin = { relative = 0.1 }
        "#,
    );
    let mut timeline = timeline(&plan, &["strong", "cheap"]);
    for i in 0..4_000_u64 {
        for (arm, cost, latency) in [("strong", CENT, 1_000), ("cheap", CENT / 2, 900)] {
            let mut row = unit(arm, i64::try_from(i).unwrap() * DAY / 400, i % 5 > 0, cost);
            row.sums.latency_ms = latency + i % 200;
            timeline.add_as(&row, Stands::Analysed).unwrap();
        }
    }
    let report = analyse(&plan, &timeline, &super::halves()).unwrap();
    let [cost, latency] = &report.treatments[0].metrics[..] else {
        panic!("two metrics")
    };
    near(cost.control.value.unwrap(), 0.0125);
    near(cost.treatment.value.unwrap(), 0.00625);
    assert_eq!(
        (cost.standing, latency.standing),
        (Standing::Shown, Standing::Shown)
    );
    // Within the 1 % of the sketch.
    assert!(
        (latency.control.value.unwrap() / 1_189.0 - 1.0).abs() < 0.011,
        "{latency:?}"
    );
    near(latency.limit.unwrap(), 0.1 * latency.control.value.unwrap());
}

#[test]
fn a_covariate_narrows_the_interval() {
    let text = |covariate: &str| {
        format!(
            "control = \"strong\"\n[[metrics]]\nkey = \"cost\"\nrole = \"goal\"\nkind = {{ mean = {{ of = \"cost\" }} }}\n\
             direction = \"lower_is_better\"\n{covariate}"
        )
    };
    let width = |covariate: &str| {
        let plan = plan(&text(covariate));
        let mut timeline = timeline(&plan, &["strong", "cheap"]);
        for i in 0..1_000_i128 {
            for (arm, factor) in [("strong", 100), ("cheap", 95)] {
                let tokens = 50 + (i * 37) % 100;
                let mut row = unit(
                    arm,
                    i64::try_from(i).unwrap(),
                    true,
                    (tokens + i % 7) * factor * 1_000_000,
                );
                row.covariates.insert("tokens".to_owned(), tokens as f64);
                timeline.add_as(&row, Stands::Analysed).unwrap();
            }
        }
        let report = analyse(&plan, &timeline, &super::halves()).unwrap();
        let cost = &report.treatments[0].metrics[0];
        cost.high.unwrap() - cost.low.unwrap()
    };
    let ratio = width("covariate = \"tokens\"") / width("");
    assert!(ratio < 0.15, "{ratio}");
}

#[test]
fn what_nodes_sum_up_adds_up() {
    let plan = cheaper("");
    let mut whole = timeline(&plan, &["strong", "cheap"]);
    let mut parts = [
        timeline(&plan, &["strong", "cheap"]),
        timeline(&plan, &["strong", "cheap"]),
    ];
    for (arm, n, successes) in [("strong", 1_000, 800), ("cheap", 900, 700)] {
        fill(&mut whole, arm, n, successes, CENT, 9);
        fill(
            &mut parts[usize::from(arm == "cheap")],
            arm,
            n,
            successes,
            CENT,
            9,
        );
    }
    let [mut one, other] = parts;
    one.merge(&other).unwrap();
    assert_eq!(
        analyse(&plan, &one, &super::halves()).unwrap(),
        analyse(&plan, &whole, &super::halves()).unwrap()
    );
    let elsewhere = timeline(&cheaper("look_hours = 1"), &["strong", "cheap"]);
    assert!(one.merge(&elsewhere).is_err());
    assert!(one.merge(&timeline(&plan, &["strong", "other"])).is_err());
}

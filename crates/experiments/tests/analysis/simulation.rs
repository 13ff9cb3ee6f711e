//! What the rule does over many experiments. `--ignored` runs as many as the figures of the documentation are of.

use experiments::Standing as Stands;
use experiments::analysis::{AnalysisPlan, Report, Standing, State, Timeline, analyse};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{DAY, halves, plan, timeline, unit};

/// From 0 to 1.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Cheaper and not worse, by looks twenty times over the experiment.
fn ship_rule() -> AnalysisPlan {
    plan(
        r#"
        control = "strong"
        horizon_units = 8000
        [[metrics]]
        key = "cost"
        role = "goal"
        kind = { mean = { of = "cost" } }
        direction = "lower_is_better"
        [[metrics]]
        key = "success"
        role = "guardrail"
        kind = { proportion = { of = "success" } }
        direction = "higher_is_better"
        margin = { absolute = 0.04 }
        "#,
    )
}

/// One experiment of 8,000 units with a draw for each, in which costs are skewed (the exponential of a normal's sum of twelve).
fn run(plan: &AnalysisPlan, seed: u64, success: [f64; 2], cost: [f64; 2]) -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut timeline: Timeline = timeline(plan, &["strong", "cheap"]);
    for i in 0..8_000_i64 {
        let side = usize::from(uniform(&mut rng) < 0.5);
        let normal: f64 = (0..12).map(|_| uniform(&mut rng)).sum::<f64>() - 6.0;
        let pico = cost[side] * (0.5 * normal).exp() * 1e10;
        let row = unit(
            ["strong", "cheap"][side],
            i * DAY / 400,
            uniform(&mut rng) < success[side],
            pico as i128,
        );
        timeline.add_as(&row, Stands::Analysed).unwrap();
    }
    analyse(plan, &timeline, &halves()).unwrap()
}

/// How often something was so, at most: α and two standard errors of the simulation.
fn allowed(alpha: f64, runs: u64) -> f64 {
    alpha + 2.0 * (alpha * (1.0 - alpha) / runs as f64).sqrt()
}

/// Both arms are the same. Nothing may be shown more often than α, at any of twenty looks.
fn a_a(runs: u64) {
    let plan = ship_rule();
    let (mut ship, mut back, mut cheaper, mut dearer, mut mismatch) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    for seed in 0..runs {
        let report = run(&plan, seed, [0.8, 0.8], [1.0, 1.0]);
        let cost = &report.treatments[0].metrics[0];
        ship += u64::from(report.decision.state == State::Ship);
        back += u64::from(report.decision.state == State::RollBack);
        cheaper += u64::from(cost.standing == Standing::Shown);
        dearer += u64::from(cost.standing == Standing::Worse);
        mismatch += u64::from(report.sample_ratio.unwrap().mismatch);
    }
    let share = |n: u64| n as f64 / runs as f64;
    println!(
        "A/A, {runs} experiments, 20 looks: shipped {:.4}, rolled back {:.4}, cost shown lower {:.4}, higher {:.4}, split alarms {:.4}",
        share(ship),
        share(back),
        share(cheaper),
        share(dearer),
        share(mismatch)
    );
    assert!(share(ship) <= allowed(0.05, runs) && share(back) <= allowed(0.05, runs));
    assert!(share(cheaper) <= allowed(0.05, runs) && share(dearer) <= allowed(0.05, runs));
    assert!(share(mismatch) <= allowed(0.001, runs));
}

/// Right is: shipped if the treatment is as good and cheaper, rolled back if it is worse by twice the margin.
fn right(runs: u64) {
    let plan = ship_rule();
    for (name, success, wanted) in [
        ("as good", [0.8, 0.8], State::Ship),
        ("worse by 8 points", [0.8, 0.72], State::RollBack),
    ] {
        let (mut right, mut opposite) = (0_u64, 0_u64);
        for seed in 0..runs {
            let state = run(&plan, 1_000_000 + seed, success, [1.0, 0.5]).decision.state;
            right += u64::from(state == wanted);
            opposite += u64::from(state != wanted && matches!(state, State::Ship | State::RollBack));
        }
        println!("half the cost, {name}, {runs} experiments: {right} right, {opposite} the opposite");
        assert!(right as f64 >= 0.75 * runs as f64 && opposite as f64 <= 0.02 * runs as f64);
    }
}

/// At the margin exactly, "not worse" is false, and is shown no more often than α.
fn at_the_margin(runs: u64) {
    let plan = ship_rule();
    let shipped = (0..runs)
        .filter(|seed| {
            run(&plan, 2_000_000 + seed, [0.8, 0.76], [1.0, 0.5])
                .decision
                .state
                == State::Ship
        })
        .count();
    let share = shipped as f64 / runs as f64;
    println!("worse by the margin, {runs} experiments: shipped {share:.4}");
    assert!(share <= allowed(0.05, runs), "{share}");
}

#[test]
fn arms_that_are_the_same_are_neither_shipped_nor_rolled_back() {
    a_a(60);
}

#[test]
fn the_right_decision_is_made() {
    right(20);
}

#[test]
fn worse_by_the_margin_is_not_shipped() {
    at_the_margin(40);
}

#[test]
#[ignore = "long: 1,000 experiments; run with --ignored"]
fn a_thousand_experiments_of_arms_that_are_the_same() {
    a_a(1_000);
}

#[test]
#[ignore = "long: 1,000 experiments; run with --ignored"]
fn a_thousand_experiments_with_an_effect() {
    right(500);
    at_the_margin(1_000);
}

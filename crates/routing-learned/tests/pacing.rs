//! A mean cost that holds, on streams of requests to a pool of twelve models.
#![allow(missing_docs, clippy::unwrap_used)]

use costing::Pico;
use experiments::bandit::Dice;
use proptest::prelude::*;
use routing_learned::pacing::{BudgetPacer, PacingError};

const REQUESTS: usize = 5_000;

/// A dozen models: what a request costs on average, in pico-dollars (from 0.005 to 1.5 cents), and how good they are.
fn pool() -> Vec<(f64, f64)> {
    (0..12)
        .map(|at| {
            let part = f64::from(at) / 11.0;
            // Dearer is better, with some that are neither.
            let off = if at % 4 == 2 { -0.06 } else { 0.0 };
            (5e7 * 300_f64.powf(part), 0.45 + 0.45 * part.sqrt() + off)
        })
        .collect()
}

/// The cost of the single model that is best on average.
fn best_cost() -> f64 {
    pool().into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
}

/// The mean cost over the budget, of the whole stream and of its second half. The policy knows each request's chances of success but not
/// how long its answer will be. From half way on all prices are multiplied by `later`.
fn stream(seed: u64, budget: f64, later: f64) -> (f64, f64) {
    let mut dice = Dice::new(seed);
    let models = pool();
    let mut pacer = BudgetPacer::new(Pico::new(budget as i64), BudgetPacer::STEP).unwrap();
    let (mut all, mut second) = (0.0, 0.0);
    for request in 0..REQUESTS {
        let is_late = request >= REQUESTS / 2;
        let dearer = if is_late { later } else { 1.0 };
        let hardness = dice.normal();
        let mut best = (f64::NEG_INFINITY, 0.0);
        for (cost, quality) in &models {
            let chance = (quality + 0.06 * dice.normal() - 0.05 * hardness).clamp(0.0, 1.0);
            let weight = pacer.weight(Pico::new((cost * dearer) as i64)).unwrap();
            let utility = chance - pacer.lambda() * weight;
            if utility > best.0 {
                best = (utility, cost * dearer);
            }
        }
        // Log-normal about the expected cost, with a deviation of three quarters of it.
        let length = (0.67 * dice.normal() - 0.67 * 0.67 / 2.0).exp();
        let cost = (best.1 * length) as i64;
        pacer.observe(Pico::new(cost)).unwrap();
        all += cost as f64;
        second += if is_late { cost as f64 } else { 0.0 };
    }
    let n = REQUESTS as f64;
    (all / n / budget, second / (n / 2.0) / budget)
}

#[test]
fn a_budget_that_binds_is_met_within_two_percent() {
    for share in [0.25, 0.5] {
        for later in [1.0, 2.0] {
            let budget = share * best_cost();
            // Were it not paced, it would be passed: the budget binds.
            let unpaced = stream(0, 1e6 * budget, 1.0).0 * 1e6;
            assert!(unpaced > 1.2, "{unpaced}");
            let mut worst: f64 = 0.0;
            let mut worst_late: f64 = 0.0;
            for seed in 0..20 {
                let (all, late) = stream(seed, budget, later);
                worst = worst.max((all - 1.0).abs());
                worst_late = worst_late.max((late - 1.0).abs());
            }
            println!(
                "budget {share} of the best model's ({unpaced:.2} budgets unpaced), prices ×{later}: at most {:.2} % off, the second half {:.2} %",
                100.0 * worst,
                100.0 * worst_late
            );
            assert!(worst < 0.02, "{share} {later}: {worst}");
            assert!(worst_late < 0.02, "{share} {later}: {worst_late}");
        }
    }
}

#[test]
fn a_budget_that_does_not_bind_is_not_spent() {
    for seed in 0..20 {
        let (all, _) = stream(seed, 2.0 * best_cost(), 1.0);
        assert!(all < 0.6, "{all}");
    }
}

#[test]
fn what_cannot_be_paced_is_refused() {
    assert_eq!(BudgetPacer::new(Pico::ZERO, 0.01), Err(PacingError::NoBudget));
    for step in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = BudgetPacer::new(Pico::new(1), step);
        assert!(matches!(refused, Err(PacingError::Step(_))), "{step}");
    }
    let mut pacer = BudgetPacer::new(Pico::new(5), 0.01).unwrap();
    assert_eq!(pacer.observe(Pico::new(-1)), Err(PacingError::NegativeCost));
    assert_eq!(pacer.weight(Pico::new(-1)), Err(PacingError::NegativeCost));
    pacer.observe(Pico::new(i64::MAX)).unwrap();
    assert_eq!(pacer.lambda(), 100.0);
    pacer.observe(Pico::ZERO).unwrap();
    assert!(pacer.lambda() < 100.0);
}

#[test]
fn a_stored_pacer_is_checked() {
    let mut pacer = BudgetPacer::new(Pico::new(1_000), 0.25).unwrap();
    pacer.observe(Pico::new(3_000)).unwrap();
    assert_eq!(pacer.lambda(), 0.5);
    let text = serde_json::to_string(&pacer).unwrap();
    assert_eq!(serde_json::from_str::<BudgetPacer>(&text).unwrap(), pacer);
    for (from, to) in [
        (r#""target":1.0"#, r#""target":2.0"#),
        (r#""price":0.5"#, r#""price":-0.5"#),
        (r#""price":0.5"#, r#""price":1e300"#),
        (r#""step":0.25"#, r#""step":0.0"#),
        ("0.000000001", "0"),
        ("0.000000001", "-1"),
    ] {
        assert!(text.contains(from), "{text}");
        let bad = text.replace(from, to);
        assert!(serde_json::from_str::<BudgetPacer>(&bad).is_err(), "{bad}");
    }
}

proptest! {
    /// What the documentation says of the sum of steps, whatever the costs.
    #[test]
    fn the_steps_add_up(costs in proptest::collection::vec(0_i64..10_000, 1..200), budget in 1_i64..5_000) {
        let mut pacer = BudgetPacer::new(Pico::new(budget), 0.01).unwrap();
        let mut was_held = false;
        for cost in &costs {
            pacer.observe(Pico::new(*cost)).unwrap();
            was_held |= pacer.lambda() == 0.0 || pacer.lambda() == 100.0;
            prop_assert!((0.0..=100.0).contains(&pacer.lambda()));
        }
        let n = costs.len() as f64;
        let mean = costs.iter().sum::<i64>() as f64 / n;
        let told = budget as f64 * (1.0 + pacer.lambda() / (0.01 * n));
        if was_held {
            prop_assert!(pacer.lambda() >= 99.0 || mean <= told * (1.0 + 1e-9));
        } else {
            prop_assert!((mean - told).abs() <= 1e-6 * told);
        }
    }
}

//! Two rates, one of each arm in turn; units by arm.

use experiments::bandit::Dice;
use experiments::bayes::BetaBelief;
use experiments::sequential::{
    Bound, Estimate, GroupSequential, Mixing, MixtureTest, RateDifference, RateNull, RateSequence, RateTest,
    Side, Spending,
};
use experiments::statistics::{Alternative, Counts, Level};

use crate::Tally;

pub(crate) const FIXED_Z: f64 = 1.959963984540054;
const ONE_SIDED_Z: f64 = 1.6448536269514722;
const FIXED_AT_THE_MARGIN: &str = "non-inferiority at the margin, fixed z, every unit from 100 per arm";

fn level() -> Level {
    Level::new(0.05).unwrap()
}

fn mixtures() -> Vec<(String, MixtureTest)> {
    let test = |mixing| MixtureTest::new(mixing, level(), Alternative::TwoSided, 0.0).unwrap();
    let tuned =
        [1_000, 5_000, 10_000].map(|units| (format!("AsympCS N*={units}"), test(Mixing::TunedFor { units })));
    let scaled = [0.01, 0.03, 0.1].map(|tau| (format!("mSPRT tau={tau}"), test(Mixing::EffectScale { tau })));
    tuned.into_iter().chain(scaled).collect()
}

/// |z| of the difference of two rates, as a fixed test has it; 0 where neither arm varies.
fn z(control: &Counts, treatment: &Counts) -> f64 {
    let part = |arm: &Counts| {
        let (n, p) = (arm.n() as f64, arm.successes() as f64 / arm.n() as f64);
        (p, p * (1.0 - p) / n)
    };
    let ((p, v), (q, w)) = (part(control), part(treatment));
    if v + w > 0.0 {
        (q - p).abs() / (v + w).sqrt()
    } else {
        0.0
    }
}

pub(crate) fn planned(spending: Spending, looks: u32) -> Vec<Bound> {
    let shares: Vec<f64> = (1..=looks).map(|i| f64::from(i) / f64::from(looks)).collect();
    let plan = GroupSequential {
        spending,
        ..GroupSequential::default()
    };
    plan.bounds(&shares).unwrap()
}

/// Both kinds of spending at 5, 10 and 20 looks.
fn plans() -> Vec<(String, Vec<Bound>)> {
    let kinds = [
        ("O'Brien-Fleming", Spending::OBrienFleming),
        ("Pocock", Spending::Pocock),
    ];
    kinds
        .into_iter()
        .flat_map(|(name, spending)| {
            [5, 10, 20].map(|looks| (format!("{name}, {looks:2} looks"), planned(spending, looks)))
        })
        .collect()
}

/// One experiment without an effect: which methods see one.
fn without_effect(dice: &mut Dice, units: u64, rate: f64, plans: &[(String, Vec<Bound>)], tally: &mut Tally) {
    let mut mixtures = mixtures();
    let mut exact = RateTest::new(RateNull::Equal).unwrap();
    // No difference is a point of the smallest grid.
    let mut difference = RateDifference::new(level(), 2).unwrap();
    let (mut control, mut treatment) = (Counts::default(), Counts::default());
    let mut every = false;
    let mut naive = [1, 2, 5, 10, 20, 100].map(|looks| (looks, false));
    let mut planned = vec![false; plans.len()];
    for i in 1..=units {
        for (side, arm) in [(Side::Control, &mut control), (Side::Treatment, &mut treatment)] {
            let success = dice.happens(rate);
            arm.push(success);
            exact.push(side, success);
            difference.push(side, success);
        }
        if let Ok(estimate) = Estimate::of_rates(&control, &treatment) {
            for (_, test) in &mut mixtures {
                test.look(&estimate);
            }
        }
        // The fixed test does not wait for ten events.
        let z = z(&control, &treatment);
        every |= i >= 100 && z > FIXED_Z;
        for (looks, hit) in &mut naive {
            *hit |= i.is_multiple_of(units / *looks) && z > FIXED_Z;
        }
        for ((_, bounds), hit) in plans.iter().zip(&mut planned) {
            let step = units / bounds.len() as u64;
            if i.is_multiple_of(step) {
                *hit |= z >= bounds[(i / step) as usize - 1].z;
            }
        }
    }
    tally.experiment();
    for (name, test) in mixtures {
        tally.count(name, test.rejected());
    }
    tally.count("exact e-process", exact.p_value() <= 0.05);
    let interval = difference.interval();
    tally.count(
        "exact sequence of the difference",
        interval.low > -1e-9 || interval.high < 1e-9,
    );
    tally.count("fixed z, every unit from 100 per arm", every);
    for (looks, hit) in naive {
        tally.count(format!("fixed z, {looks:3} looks"), hit);
    }
    for ((name, _), hit) in plans.iter().zip(planned) {
        tally.count(name, hit);
    }
}

fn false_alarms(experiments: u32, units: u64, seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let plans = plans();
    let mut tally = Tally::default();
    for _ in 0..experiments {
        without_effect(&mut dice, units, 0.8, &plans, &mut tally);
    }
    for (name, _) in mixtures() {
        tally.at_most(&name, 0.05);
    }
    tally.at_most("exact e-process", 0.05);
    tally.at_most("exact sequence of the difference", 0.05);
    for (name, _) in plans {
        tally.at_most(&name, 0.05);
    }
    tally
}

#[test]
fn sequential_tests_raise_few_false_alarms_and_a_fixed_test_many() {
    let tally = false_alarms(200, 1_000, 1);
    tally.at_least("fixed z, every unit from 100 per arm", 0.2);
    tally.at_least("fixed z, 100 looks", 0.2);
}

#[test]
#[ignore = "long: 10,000 experiments of 10,000 units, a look at each"]
fn false_alarms_of_rates() {
    let tally = false_alarms(10_000, 5_000, 2);
    tally.print("no effect, rate .8, 5,000 per arm");
    tally.at_most("fixed z,   1 looks", 0.05);
    tally.at_least("fixed z,  10 looks", 0.16);
    tally.at_least("fixed z, 100 looks", 0.35);
    tally.at_least("fixed z, every unit from 100 per arm", 0.42);
}

#[test]
#[ignore = "long: 2,000 experiments, 100 integrals each"]
fn a_chance_to_win_is_no_rule_for_stopping() {
    let mut dice = Dice::new(3);
    let mut tally = Tally::default();
    for _ in 0..2_000 {
        let (mut control, mut treatment) = (Counts::default(), Counts::default());
        let stops = (0..100).any(|_| {
            for _ in 0..50 {
                control.push(dice.happens(0.8));
                treatment.push(dice.happens(0.8));
            }
            let belief = |arm| BetaBelief::default().after(arm).unwrap();
            let chance = belief(&treatment).chance_above(&belief(&control)).unwrap();
            !(0.05..=0.95).contains(&chance)
        });
        tally.experiment();
        tally.count("chance to win above 95 % for either arm, 100 looks", stops);
    }
    tally.print("no effect, rate .8, 5,000 per arm");
    tally.at_least("chance to win above 95 % for either arm, 100 looks", 0.5);
}

/// A treatment that is worse by exactly the margin, and rates near 1 in arms of very different size.
fn at_the_margin(experiments: u32, units: u32, seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    for _ in 0..experiments {
        let (mut control, mut treatment) = (Counts::default(), Counts::default());
        let mut asymptotic =
            MixtureTest::new(Mixing::default(), level(), Alternative::Greater, -0.03).unwrap();
        let mut exact = RateTest::new(RateNull::AtMost(-0.03)).unwrap();
        let mut fixed = false;
        for i in 1..=units {
            for (side, arm, rate) in [
                (Side::Control, &mut control, 0.8),
                (Side::Treatment, &mut treatment, 0.77),
            ] {
                let success = dice.happens(rate);
                arm.push(success);
                exact.push(side, success);
            }
            if let Ok(estimate) = Estimate::of_rates(&control, &treatment) {
                asymptotic.look(&estimate);
                let z = (estimate.value() + 0.03) / estimate.standard_error();
                fixed |= i >= 100 && z > ONE_SIDED_Z;
            }
        }
        let (mut control, mut treatment) = (Counts::default(), Counts::default());
        let mut uneven = MixtureTest::new(Mixing::default(), level(), Alternative::TwoSided, 0.0).unwrap();
        let mut uneven_exact = RateTest::new(RateNull::Equal).unwrap();
        for _ in 0..8 * units {
            let success = dice.happens(0.98);
            let (side, arm) = if dice.happens(0.05) {
                (Side::Treatment, &mut treatment)
            } else {
                (Side::Control, &mut control)
            };
            arm.push(success);
            uneven_exact.push(side, success);
            if let Ok(estimate) = Estimate::of_rates(&control, &treatment) {
                uneven.look(&estimate);
            }
        }
        tally.experiment();
        tally.count(FIXED_AT_THE_MARGIN, fixed);
        tally.count("non-inferiority at the margin, AsympCS", asymptotic.rejected());
        tally.count(
            "non-inferiority at the margin, exact e-process",
            exact.p_value() <= 0.05,
        );
        tally.count("95/5 at .98, AsympCS once there are 10 events", uneven.rejected());
        tally.count("95/5 at .98, exact e-process", uneven_exact.p_value() <= 0.05);
    }
    for name in tally
        .names()
        .into_iter()
        .filter(|name| name != FIXED_AT_THE_MARGIN)
    {
        tally.at_most(&name, 0.05);
    }
    tally
}

#[test]
fn a_treatment_worse_by_the_margin_seldom_passes_at_any_look() {
    let tally = at_the_margin(100, 500, 14);
    tally.at_least(FIXED_AT_THE_MARGIN, 0.1);
}

#[test]
#[ignore = "long: 2,000 experiments of 10,000 and of 40,000 units, a look at each"]
fn false_alarms_at_the_margin_and_of_uneven_arms() {
    let tally = at_the_margin(2_000, 5_000, 4);
    tally.print("no effect beyond the margin");
    tally.at_least(FIXED_AT_THE_MARGIN, 0.2);
}

fn coverage(experiments: u32, units: u64, seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    for _ in 0..experiments {
        tally.experiment();
        for rate in [0.05, 0.97] {
            let sequence = RateSequence::new(level(), 1_000).unwrap();
            let mut counts = Counts::default();
            let missed = (0..units).any(|_| {
                counts.push(dice.happens(rate));
                sequence.log_e(&counts, rate).unwrap() >= 20f64.ln()
            });
            tally.count(format!("one rate of {rate}"), missed);
        }
        let mut difference = RateDifference::new(level(), 20).unwrap();
        for _ in 0..units / 4 {
            difference.push(Side::Control, dice.happens(0.8));
            difference.push(Side::Treatment, dice.happens(0.9));
        }
        // A bound on the true difference, which is a point of the grid, rejects it.
        let interval = difference.interval();
        let missed = interval.low > 0.099 || interval.high < 0.101;
        tally.count("difference of .8 and .9", missed);
    }
    for name in tally.names() {
        tally.at_most(&name, 0.05);
    }
    tally
}

#[test]
fn sequences_of_rates_miss_little() {
    coverage(100, 400, 7);
}

#[test]
#[ignore = "long: 2,000 experiments of 4,000 units, a look at each"]
fn how_often_sequences_of_rates_miss() {
    coverage(2_000, 4_000, 8).print("misses of a 95 % sequence of rates");
}

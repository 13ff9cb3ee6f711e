//! Two rates, one of each arm in turn; units by arm.

use experiments::bayes::BetaBelief;
use experiments::sequential::{
    Bound, Estimate, GroupSequential, Mixing, MixtureTest, RateDifference, RateNull, RateSequence, RateTest,
    RatioMismatch, SHARE_CONCENTRATION, Side,
};
use experiments::statistics::distributions::chi_squared_sf;
use experiments::statistics::{Alternative, Counts, Level};

use crate::Tally;
use crate::dice::Dice;

const FIXED_Z: f64 = 1.959963984540054;

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

fn planned(looks: u32) -> Vec<Bound> {
    let shares: Vec<f64> = (1..=looks).map(|i| f64::from(i) / f64::from(looks)).collect();
    GroupSequential::default().bounds(&shares).unwrap()
}

/// One experiment without an effect: which methods see one.
fn without_effect(dice: &mut Dice, units: u64, rate: f64, plans: &[Vec<Bound>], tally: &mut Tally) {
    let mut mixtures = mixtures();
    let mut exact = RateTest::new(RateNull::Equal).unwrap();
    let (mut control, mut treatment) = (Counts::default(), Counts::default());
    let mut every = false;
    let mut naive = [1, 2, 5, 10, 20, 100].map(|looks| (looks, false));
    let mut planned = vec![false; plans.len()];
    for i in 1..=units {
        for (side, arm) in [(Side::Control, &mut control), (Side::Treatment, &mut treatment)] {
            let success = dice.chance(rate);
            arm.push(success);
            exact.push(side, success);
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
        for (bounds, hit) in plans.iter().zip(&mut planned) {
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
    tally.count("fixed z, every unit from 100 per arm", every);
    for (looks, hit) in naive {
        tally.count(format!("fixed z, {looks:3} looks"), hit);
    }
    for (bounds, hit) in plans.iter().zip(planned) {
        tally.count(format!("O'Brien-Fleming, {:2} looks", bounds.len()), hit);
    }
}

fn false_alarms(experiments: u32, units: u64, seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let plans = [5, 10, 20].map(planned);
    let mut tally = Tally::default();
    for _ in 0..experiments {
        without_effect(&mut dice, units, 0.8, &plans, &mut tally);
    }
    for (name, _) in mixtures() {
        tally.at_most(&name, 0.05);
    }
    tally.at_most("exact e-process", 0.05);
    for looks in [" 5", "10", "20"] {
        tally.at_most(&format!("O'Brien-Fleming, {looks} looks"), 0.05);
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
                control.push(dice.chance(0.8));
                treatment.push(dice.chance(0.8));
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
#[test]
#[ignore = "long: 2,000 experiments of 10,000 and of 40,000 units, a look at each"]
fn false_alarms_at_the_margin_and_of_uneven_arms() {
    let mut dice = Dice::new(4);
    let mut tally = Tally::default();
    for _ in 0..2_000 {
        let (mut control, mut treatment) = (Counts::default(), Counts::default());
        let mut asymptotic =
            MixtureTest::new(Mixing::default(), level(), Alternative::Greater, -0.03).unwrap();
        let mut exact = RateTest::new(RateNull::AtMost(-0.03)).unwrap();
        for _ in 0..5_000 {
            for (side, arm, rate) in [
                (Side::Control, &mut control, 0.8),
                (Side::Treatment, &mut treatment, 0.77),
            ] {
                let success = dice.chance(rate);
                arm.push(success);
                exact.push(side, success);
            }
            if let Ok(estimate) = Estimate::of_rates(&control, &treatment) {
                asymptotic.look(&estimate);
            }
        }
        let (mut control, mut treatment) = (Counts::default(), Counts::default());
        let mut uneven = MixtureTest::new(Mixing::default(), level(), Alternative::TwoSided, 0.0).unwrap();
        let mut uneven_exact = RateTest::new(RateNull::Equal).unwrap();
        for _ in 0..40_000 {
            let success = dice.chance(0.98);
            let (side, arm) = if dice.chance(0.05) {
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
        tally.count("non-inferiority at the margin, AsympCS", asymptotic.rejected());
        tally.count(
            "non-inferiority at the margin, exact e-process",
            exact.p_value() <= 0.05,
        );
        tally.count("95/5 at .98, AsympCS once there are 10 events", uneven.rejected());
        tally.count("95/5 at .98, exact e-process", uneven_exact.p_value() <= 0.05);
    }
    tally.print("no effect beyond the margin");
    for name in tally.names() {
        tally.at_most(&name, 0.05);
    }
}

#[test]
#[ignore = "long: 2,000 experiments of up to three times the units of a fixed test, a look at each"]
fn power_and_how_long_it_takes() {
    let (control_rate, treatment_rate) = (0.8, 0.83);
    // Two-sided α = .05, power .8.
    let fixed = 2_626u64;
    let mut dice = Dice::new(5);
    let mut tally = Tally::default();
    let bounds = planned(5);
    let mut sums = [0.0; 3];
    let experiments = 2_000;
    for _ in 0..experiments {
        let (mut control, mut treatment) = (Counts::default(), Counts::default());
        let mut asymptotic =
            MixtureTest::new(Mixing::default(), level(), Alternative::TwoSided, 0.0).unwrap();
        let mut exact = RateTest::new(RateNull::Equal).unwrap();
        let mut found = [None; 3];
        let mut once = false;
        for i in 1..=3 * fixed {
            for (side, arm, rate) in [
                (Side::Control, &mut control, control_rate),
                (Side::Treatment, &mut treatment, treatment_rate),
            ] {
                let success = dice.chance(rate);
                arm.push(success);
                exact.push(side, success);
            }
            if exact.p_value() <= 0.05 {
                found[2].get_or_insert(i);
            }
            let Ok(estimate) = Estimate::of_rates(&control, &treatment) else {
                continue;
            };
            let z = (estimate.value() / estimate.standard_error()).abs();
            once |= i == fixed && z > FIXED_Z;
            let look = bounds
                .iter()
                .find(|b| (b.information * fixed as f64).round() as u64 == i);
            if look.is_some_and(|bound| z >= bound.z) {
                found[0].get_or_insert(i);
            }
            if asymptotic.look(&estimate).rejected {
                found[1].get_or_insert(i);
            }
        }
        tally.experiment();
        tally.count("fixed z: power", once);
        let by = |at: Option<u64>, cap: u64| at.is_some_and(|at| at <= cap);
        tally.count("O'Brien-Fleming, 5 looks: power", by(found[0], fixed));
        for (name, at) in [("AsympCS", found[1]), ("exact e-process", found[2])] {
            for times in 1..=3 {
                tally.count(format!("{name}: power within {times} x n"), by(at, times * fixed));
            }
        }
        let within = |at: Option<u64>, cap: u64| at.unwrap_or(cap).min(cap) as f64 / fixed as f64;
        sums[0] += within(found[0], fixed);
        sums[1] += within(found[1], 2 * fixed);
        sums[2] += within(found[1], 3 * fixed);
    }
    tally.print("rates .8 and .83, n = 2,626 per arm");
    let means = sums.map(|sum| sum / f64::from(experiments));
    println!("| O'Brien-Fleming, 5 looks: mean n | {:.3} |", means[0]);
    println!("| AsympCS, at most 2 x n: mean n | {:.3} |", means[1]);
    println!("| AsympCS, at most 3 x n: mean n | {:.3} |", means[2]);
    tally.at_least("O'Brien-Fleming, 5 looks: power", 0.77);
    tally.at_least("AsympCS: power within 1 x n", 0.48);
    tally.at_least("exact e-process: power within 1 x n", 0.2);
    tally.at_least("AsympCS: power within 3 x n", 0.95);
    assert!(means[0] < 0.85 && means[1] < 1.1, "{means:?}");
}

#[test]
#[ignore = "long: 2,000 experiments of 30,000 units"]
fn false_alarms_of_the_sample_ratio() {
    let mut dice = Dice::new(6);
    let mut tally = Tally::default();
    for _ in 0..2_000 {
        let mut counts = [0u64; 2];
        let mut ratio = RatioMismatch::new([1, 1], SHARE_CONCENTRATION).unwrap();
        let (mut hundredth, mut thousandth, mut daily) = (false, false, false);
        for _day in 0..30 {
            for _ in 0..1_000 {
                counts[usize::from(dice.chance(0.5))] += 1;
                ratio.look(&counts).unwrap();
            }
            let n = (counts[0] + counts[1]) as f64;
            let chi = (counts[0] as f64 - counts[1] as f64).powi(2) / n;
            let p = chi_squared_sf(chi, 1.0).unwrap();
            hundredth |= p < 0.01;
            thousandth |= p < 0.001;
            daily |= ratio.log_e(&counts).unwrap() > 100f64.ln();
        }
        tally.experiment();
        tally.count("chi-squared p < .01, daily", hundredth);
        tally.count("chi-squared p < .001, daily", thousandth);
        tally.count("Bayes factor > 100, daily", daily);
        tally.count("Bayes factor > 100, every unit", ratio.p_value() < 0.01);
    }
    tally.print("50/50, 1,000 units a day for 30 days");
    tally.at_most("Bayes factor > 100, every unit", 0.01);
    tally.at_least("chi-squared p < .01, daily", 0.04);
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
                counts.push(dice.chance(rate));
                sequence.log_e(&counts, rate).unwrap() >= 20f64.ln()
            });
            tally.count(format!("one rate of {rate}"), missed);
        }
        let mut difference = RateDifference::new(level(), 20).unwrap();
        for _ in 0..units / 4 {
            difference.push(Side::Control, dice.chance(0.8));
            difference.push(Side::Treatment, dice.chance(0.9));
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

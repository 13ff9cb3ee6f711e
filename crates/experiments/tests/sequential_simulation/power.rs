//! What the right to look at any time costs: power, and how many units it takes, beside a fixed test.

use experiments::bandit::Dice;
use experiments::sequential::{Bound, Estimate, Mixing, MixtureTest, RateNull, RateTest, Side, Spending};
use experiments::statistics::{Alternative, Counts, Level};

use crate::Tally;
use crate::rates::{FIXED_Z, planned};

const FIXED: &str = "fixed z: power at n";
const METHODS: [&str; 5] = [
    "O'Brien-Fleming, 5 looks",
    "Pocock, 5 looks",
    "AsympCS N*=5000",
    "mSPRT tau=.03",
    "exact e-process",
];

/// After how many units per arm each method saw the effect, if it did; and whether a fixed test of `n` per arm did.
fn found(dice: &mut Dice, plans: &[Vec<Bound>; 2], rates: [f64; 2], n: u64) -> (bool, [Option<u64>; 5]) {
    let level = Level::new(0.05).unwrap();
    let mixture = |mixing| MixtureTest::new(mixing, level, Alternative::TwoSided, 0.0).unwrap();
    let mut mixtures = [
        mixture(Mixing::default()),
        mixture(Mixing::EffectScale { tau: 0.03 }),
    ];
    let mut exact = RateTest::new(RateNull::Equal).unwrap();
    let (mut control, mut treatment) = (Counts::default(), Counts::default());
    let (mut once, mut found) = (false, [None; 5]);
    for i in 1..=3 * n {
        for (side, arm, rate) in [
            (Side::Control, &mut control, rates[0]),
            (Side::Treatment, &mut treatment, rates[1]),
        ] {
            let success = dice.happens(rate);
            arm.push(success);
            exact.push(side, success);
        }
        if exact.p_value() <= 0.05 {
            found[4].get_or_insert(i);
        }
        let Ok(estimate) = Estimate::of_rates(&control, &treatment) else {
            continue;
        };
        let z = (estimate.value() / estimate.standard_error()).abs();
        once |= i == n && z > FIXED_Z;
        for (plan, at) in plans.iter().zip(&mut found) {
            let look = plan
                .iter()
                .find(|bound| (bound.information * n as f64).round() as u64 == i);
            if look.is_some_and(|bound| z >= bound.z) {
                at.get_or_insert(i);
            }
        }
        for (test, at) in mixtures.iter_mut().zip(&mut found[2..]) {
            if test.look(&estimate).rejected {
                at.get_or_insert(i);
            }
        }
    }
    (once, found)
}

/// Power, and mean units over `n`, by the most units that one waits for.
struct Powers {
    tally: Tally,
    means: [[f64; 3]; 5],
}

impl Powers {
    fn of(experiments: u32, rates: [f64; 2], n: u64, seed: u64) -> Self {
        let plans = [planned(Spending::OBrienFleming, 5), planned(Spending::Pocock, 5)];
        let mut dice = Dice::new(seed);
        let mut tally = Tally::default();
        let mut means = [[0.0; 3]; 5];
        for _ in 0..experiments {
            let (once, found) = found(&mut dice, &plans, rates, n);
            tally.experiment();
            tally.count(FIXED, once);
            for ((method, at), means) in METHODS.iter().zip(found).zip(&mut means) {
                for (times, mean) in (1..).zip(means) {
                    let cap = times * n;
                    tally.count(power_within(method, times), at.is_some_and(|at| at <= cap));
                    *mean += at.unwrap_or(cap).min(cap) as f64 / n as f64 / f64::from(experiments);
                }
            }
        }
        Self { tally, means }
    }

    fn print(&self, title: &str) {
        println!("\n{title}");
        println!("| {FIXED} | {:.3} |", self.tally.share(FIXED));
        for (at, (method, means)) in METHODS.iter().zip(self.means).enumerate() {
            // A plan ends where its last look is.
            let most = if at < 2 { 1 } else { 3 };
            for (times, mean) in (1..=most).zip(means) {
                let power = self.tally.share(&power_within(method, times));
                println!("| {method}, at most {times} x n: power, mean units / n | {power:.3} | {mean:.3} |");
            }
        }
    }
}

fn power_within(method: &str, times: u64) -> String {
    format!("{method}: power within {times} x n")
}

#[test]
fn planned_looks_cost_little_power_and_open_ones_more() {
    // 91 per arm have power .8 to see this.
    let powers = Powers::of(200, [0.5, 0.7], 91, 15);
    let power = |method: usize| powers.tally.share(&power_within(METHODS[method], 1));
    powers.tally.at_least(FIXED, 0.7);
    assert!(power(0) >= 0.7, "{}", power(0));
    assert!(power(4) >= 0.15 && power(4) < power(0), "{}", power(4));
    assert!(powers.means[0][0] < 0.9, "{:?}", powers.means);
}

#[test]
#[ignore = "long: 2,000 experiments of up to three times the units of a fixed test, a look at each"]
fn power_and_how_long_it_takes() {
    // Two-sided α = .05, power .8.
    let powers = Powers::of(2_000, [0.8, 0.83], 2_626, 5);
    powers.print("rates .8 and .83, n = 2,626 per arm (2000 experiments)");
    let power = |method: usize, times| powers.tally.share(&power_within(METHODS[method], times));
    assert!(power(0, 1) >= 0.77, "{}", power(0, 1));
    assert!(power(1, 1) >= 0.68, "{}", power(1, 1));
    assert!(
        power(2, 1) >= 0.48 && power(2, 3) >= 0.95,
        "{} {}",
        power(2, 1),
        power(2, 3)
    );
    assert!(power(4, 1) >= 0.2, "{}", power(4, 1));
    assert!(
        powers.means[0][0] < 0.85 && powers.means[2][1] < 1.1,
        "{:?}",
        powers.means
    );
}

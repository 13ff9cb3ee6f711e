//! Skewed costs, and scores from 0 to 1.

use experiments::bandit::Dice;
use experiments::sequential::{
    EmpiricalBernstein, Estimate, MeanSequence, MeanTest, Mixing, MixtureTest, ScoreDifference, Side,
};
use experiments::statistics::{Alternative, Level, Moments};

use crate::Tally;
use crate::rates::FIXED_Z;

fn level() -> Level {
    Level::new(0.05).unwrap()
}

const EVERY_COST: &str = "fixed z, every unit from 100 per arm";

/// No effect on lognormal costs, sigma 1.5: one cost in a hundred is above thirty times the median.
fn skewed_costs(experiments: u32, units: u32, seed: u64) -> Tally {
    let mixtures = [1_000, 5_000, 10_000]
        .map(|units| (format!("AsympCS N*={units}"), Mixing::TunedFor { units }))
        .into_iter()
        .chain([0.3, 1.0].map(|tau| (format!("mSPRT tau={tau}"), Mixing::EffectScale { tau })));
    let mixtures: Vec<_> = mixtures
        .map(|(name, mixing)| {
            let test = MixtureTest::new(mixing, level(), Alternative::TwoSided, 0.0).unwrap();
            (name, test)
        })
        .collect();
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    for _ in 0..experiments {
        let (mut control, mut treatment) = (Moments::new(), Moments::new());
        let mut tests = mixtures.clone();
        let (mut ten, mut hundred, mut every) = (false, false, false);
        for i in 1..=units {
            control.push((1.5 * dice.normal()).exp()).unwrap();
            treatment.push((1.5 * dice.normal()).exp()).unwrap();
            let Ok(estimate) = Estimate::of_means(&control, &treatment) else {
                continue;
            };
            for (_, test) in &mut tests {
                test.look(&estimate);
            }
            let seen = (estimate.value() / estimate.standard_error()).abs() > FIXED_Z;
            ten |= seen && i.is_multiple_of(units / 10);
            hundred |= seen && i.is_multiple_of(units / 100);
            every |= seen;
        }
        tally.experiment();
        tally.count("fixed z,  10 looks", ten);
        tally.count("fixed z, 100 looks", hundred);
        tally.count(EVERY_COST, every);
        for (name, test) in tests {
            tally.count(name, test.rejected());
        }
    }
    for (name, _) in &mixtures {
        tally.at_most(name, 0.05);
    }
    tally
}

#[test]
fn skewed_costs_raise_few_false_alarms() {
    skewed_costs(100, 500, 19).at_least(EVERY_COST, 0.1);
}

#[test]
#[ignore = "long: 2,000 experiments of 10,000 units, a look at each"]
fn false_alarms_of_skewed_costs() {
    let tally = skewed_costs(2_000, 5_000, 11);
    tally.print("no effect, lognormal costs with sigma 1.5, 5,000 per arm");
    tally.at_least("fixed z,  10 looks", 0.15);
    tally.at_least("fixed z, 100 looks", 0.3);
    tally.at_least(EVERY_COST, 0.3);
}

/// Scores of a mean, from much spread to little.
fn draw(dice: &mut Dice, shape: usize) -> f64 {
    match shape {
        0 => f64::from(u8::from(dice.happens(0.9))),
        1 => dice.unit().powi(2),
        _ => 0.7 + 0.1 * (dice.unit() - 0.5),
    }
}

const SHAPES: [(&str, f64); 3] = [
    ("successes of .9", 0.9),
    ("skewed scores", 1.0 / 3.0),
    ("narrow scores", 0.7),
];

const FIXED_SCORE: &str = "fixed z, every score from 100";

/// With the mean widths of the two kinds of sequence, by shape.
fn misses(experiments: u32, units: u32, seed: u64) -> (Tally, [[f64; 2]; 3]) {
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    let mut widths = [[0.0; 2]; 3];
    for _ in 0..experiments {
        tally.experiment();
        for (shape, (name, mean)) in SHAPES.into_iter().enumerate() {
            let mut bernstein = EmpiricalBernstein::new(level());
            let mut at_most = MeanTest::at_most(mean, level()).unwrap();
            let mut at_least = MeanTest::at_least(mean, level()).unwrap();
            let mut hedged = MeanSequence::new(level(), Alternative::TwoSided, 300).unwrap();
            let mut difference = ScoreDifference::new(level()).unwrap();
            let (mut sums, mut fixed) = (Moments::new(), false);
            for i in 1..=units {
                let x = draw(&mut dice, shape);
                sums.push(x).unwrap();
                // Where a fixed test has a variance to go by.
                if i >= 100 && sums.variance().unwrap() > 0.0 {
                    let error = (sums.variance().unwrap() / f64::from(i)).sqrt();
                    fixed |= (sums.mean().unwrap() - mean).abs() > FIXED_Z * error;
                }
                bernstein.push(x).unwrap();
                at_most.push(x).unwrap();
                at_least.push(x).unwrap();
                hedged.push(x).unwrap();
                difference.push(Side::Control, x).unwrap();
                difference.push(Side::Treatment, draw(&mut dice, shape)).unwrap();
            }
            // Bounds are points of a grid that holds every mean here, give or take a rounding.
            let (low, high) = (hedged.interval().low, hedged.interval().high);
            tally.count(
                format!("{name}: empirical Bernstein"),
                !bernstein.interval().contains(mean),
            );
            tally.count(
                format!("{name}: betting, both bounds"),
                low > mean - 1e-9 || high < mean + 1e-9,
            );
            tally.count(format!("{name}: {FIXED_SCORE}"), fixed);
            tally.count(format!("{name}: betting, above"), at_most.p_value() <= 0.05);
            tally.count(format!("{name}: betting, below"), at_least.p_value() <= 0.05);
            tally.count(
                format!("{name}: difference"),
                !difference.interval().contains(0.0),
            );
            widths[shape][0] += bernstein.interval().high - bernstein.interval().low;
            widths[shape][1] += high - low;
        }
    }
    for name in tally.names() {
        if !name.ends_with(FIXED_SCORE) {
            tally.at_most(&name, 0.05);
        }
    }
    (
        tally,
        widths.map(|sums| sums.map(|sum| sum / f64::from(experiments))),
    )
}

#[test]
fn sequences_of_scores_miss_little() {
    let (tally, _) = misses(100, 300, 12);
    tally.at_least(&format!("{}: {FIXED_SCORE}", SHAPES[1].0), 0.08);
}

#[test]
#[ignore = "long: 2,000 experiments of 3 x 2,000 scores, a look at each"]
fn how_often_sequences_of_scores_miss() {
    let (tally, widths) = misses(2_000, 2_000, 13);
    tally.print("misses of a 95 % sequence of scores");
    for ((name, _), [bernstein, hedged]) in SHAPES.into_iter().zip(widths) {
        println!("| {name}: mean width after 2,000, Bernstein / betting | {bernstein:.4} / {hedged:.4} |");
    }
}

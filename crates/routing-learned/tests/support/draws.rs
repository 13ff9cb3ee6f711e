//! Certificates on labels drawn again and again from one set, beside a threshold that is tuned on the same labels.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use routing_learned::{HeldOut, Ladder, Policy, Promise};

/// Without labels: what a ladder is laid out from.
const LAID_OUT_FROM: usize = 500;

/// Its multiples are spread evenly from 0 to 1.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Over all draws.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// How many draws lost more than promised on the prompts that were not drawn.
    pub(crate) violations: u64,
    /// The share of violations.
    pub(crate) violated: f64,
    /// The mean share of the reference's cost that was saved there.
    pub(crate) saving: f64,
}

/// Of certificates, and of the tuned threshold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drawn {
    pub(crate) certified: Told,
    pub(crate) tuned: Told,
    /// How many draws gave no certificate. They save nothing.
    pub(crate) refused: u64,
}

/// For each draw: certify on so many labels, measure on the rest. `drawn` is called after each.
pub(crate) fn draws(
    held: &HeldOut,
    promise: &Promise,
    labels: usize,
    draws: u64,
    drawn: &mut dyn FnMut(u64),
) -> Drawn {
    let mut told = Drawn::default();
    for seed in 0..draws {
        let order = shuffled(held.len(), seed);
        let (calibration, rest) = order.split_at(labels);
        // Laid out from prompts that are in no calibration, without their labels.
        let ladder = Ladder::design(promise, &held.rows(&rest[..LAID_OUT_FROM.min(rest.len())])).unwrap();
        let (calibration, rest) = (held.rows(calibration), held.rows(rest));
        let reference = held
            .models()
            .iter()
            .position(|model| model == ladder.reference())
            .unwrap();
        let verdict = ladder.certify(promise, &calibration).unwrap();
        told.refused += u64::from(verdict.certificate().is_none());
        let policy = verdict.certificate().map(|certificate| certificate.policy);
        told.certified
            .add(measure(policy, reference, &rest), promise.loss());
        // The cheapest rung that looked right on the same labels.
        let mut rungs = ladder.rungs().iter().rev().map(|rung| rung.policy);
        let tuned = rungs.find(|policy| measure(Some(*policy), reference, &calibration).0 <= promise.loss());
        told.tuned.add(measure(tuned, reference, &rest), promise.loss());
        drawn(seed + 1);
    }
    for told in [&mut told.certified, &mut told.tuned] {
        told.violated = told.violations as f64 / draws as f64;
        told.saving /= draws as f64;
    }
    told
}

/// All rows in a random order.
pub(crate) fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        rows.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    rows
}

/// Mean loss against a model, and the share of its cost that is saved.
fn measure(policy: Option<Policy>, reference: usize, held: &HeldOut) -> (f64, f64) {
    let Some(policy) = policy else { return (0.0, 0.0) };
    let (mut loss, mut cost, mut whole) = (0.0, 0.0, 0.0);
    for row in 0..held.len() {
        // For mixtures: as even over the rows as chance would be over many more.
        let chance = (row as f64 * GOLDEN).fract();
        let chosen = policy
            .choose(held.predicted(row), held.expected_costs(row), chance)
            .unwrap()
            .model;
        loss += f64::from(held.scores(row)[reference]) - f64::from(held.scores(row)[chosen]);
        cost += held.costs(row)[chosen];
        whole += held.costs(row)[reference];
    }
    (loss / held.len() as f64, 1.0 - cost / whole)
}

impl Told {
    fn add(&mut self, (loss, saving): (f64, f64), promised: f64) {
        self.violations += u64::from(loss > promised);
        self.saving += saving;
    }
}

//! Finds the weights: multinomial logistic regression by stochastic gradient descent, the same on every machine.

use std::borrow::Cow;

use super::features::{self, BUCKETS, DENSE, Feature, PLACES};
use super::keywords::LEARNED;
use super::{Classifier, HEADER, LENGTH, MAGIC, TaskHints, softmax};
use crate::task::Task;

const EPOCHS: usize = 24;
const RATE: f32 = 0.25;
const DECAY: f32 = 2e-4;
/// Folds within the training examples that tell how sure to be.
const INNER: u64 = 3;

/// A request whose task is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example<'a> {
    /// The request.
    pub hints: TaskHints<'a>,
    /// Its task.
    pub task: Task,
    /// Examples that are alike share a family: none of them is used to judge how sure the others are answered.
    pub family: &'a str,
}

/// Features of an example, by their rows of weights: words first, then facts.
struct Row {
    seen: Vec<(usize, f32)>,
    task: usize,
    family: u64,
}

impl Classifier {
    /// Weights learned from examples, in the same way each time. Examples with pictures, and examples of [`Task::Vision`], teach
    /// nothing: a rule decides on them. Without examples the weights are all zero, and every task is as likely.
    pub fn train(examples: &[Example<'_>]) -> Self {
        let rows: Vec<Row> = examples
            .iter()
            .filter(|example| !example.hints.has_images && example.task.index() < LEARNED)
            .map(Row::of)
            .collect();
        let mut judged = Vec::new();
        for fold in 0..INNER {
            let (held, taught): (Vec<&Row>, Vec<&Row>) =
                rows.iter().partition(|row| row.family % INNER == fold);
            let weights = descend(&taught);
            judged.extend(held.iter().map(|row| (scores(&weights, &row.seen), row.task)));
        }
        pack(&descend(&rows.iter().collect::<Vec<_>>()), sharpness(&judged))
    }
}

impl Row {
    fn of(example: &Example<'_>) -> Self {
        let mut words = Vec::new();
        let mut seen = Vec::new();
        let mut counts = [0_u16; PLACES];
        features::extract(&example.hints, &mut |feature| match feature {
            Feature::Word { place, bucket } => {
                words.push((place, bucket));
                counts[place] = counts[place].saturating_add(1);
            }
            Feature::Fact { index, value } => seen.push((BUCKETS + index, value)),
        });
        seen.extend(
            words
                .into_iter()
                .map(|(place, bucket)| (bucket, 1.0 / f32::from(counts[place]).sqrt())),
        );
        let family = example.family.bytes().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        Self {
            seen,
            task: example.task.index(),
            family: family ^ (family >> 17),
        }
    }
}

type Weights = Vec<[f32; LEARNED]>;

fn scores(weights: &Weights, seen: &[(usize, f32)]) -> [f64; LEARNED] {
    let mut scores = [0.0_f32; LEARNED];
    for (feature, value) in seen {
        for (score, weight) in scores.iter_mut().zip(weights[*feature]) {
            *score += weight * value;
        }
    }
    scores.map(f64::from)
}

/// AdaGrad: rare words keep a high rate.
fn descend(rows: &[&Row]) -> Weights {
    let mut weights: Weights = vec![[0.0; LEARNED]; BUCKETS + DENSE];
    let mut squares: Weights = vec![[1e-2; LEARNED]; BUCKETS + DENSE];
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..EPOCHS {
        for last in (1..order.len()).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let other = usize::try_from(state % (last as u64 + 1)).unwrap_or(0);
            order.swap(last, other);
        }
        for row in order.iter().map(|at| rows[*at]) {
            let mut errors = softmax(scores(&weights, &row.seen));
            errors[row.task] -= 1.0;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "from -1 to 1; eight digits will do"
            )]
            let errors = errors.map(|error| error as f32);
            for (feature, value) in &row.seen {
                let columns = weights[*feature].iter_mut().zip(&mut squares[*feature]);
                for ((weight, square), error) in columns.zip(errors) {
                    let slope = error * value + DECAY * *weight;
                    *square += slope * slope;
                    *weight -= RATE * slope / square.sqrt();
                }
            }
        }
    }
    weights
}

/// The factor of the scores by which the chances come closest to what was right (least Brier score).
fn sharpness(judged: &[([f64; LEARNED], usize)]) -> f32 {
    let mut best = (1.0, f64::INFINITY);
    for step in 4..=60_u8 {
        let factor = f32::from(step) / 20.0;
        let loss: f64 = judged
            .iter()
            .map(|(scores, task)| {
                let chances = softmax(scores.map(|score| score * f64::from(factor)));
                let off = |(at, chance): (usize, f64)| if at == *task { 1.0 - chance } else { chance };
                chances
                    .into_iter()
                    .enumerate()
                    .map(off)
                    .map(|off| off * off)
                    .sum::<f64>()
            })
            .sum();
        if loss < best.1 {
            best = (factor, loss);
        }
    }
    best.0
}

/// Words as whole numbers of one byte, facts as they are.
fn pack(weights: &Weights, sharpness: f32) -> Classifier {
    let (words, facts) = weights.split_at(BUCKETS);
    let most = words
        .iter()
        .flatten()
        .fold(1e-6_f32, |most, weight| most.max(weight.abs()));
    let step = most / 127.0;
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&step.to_le_bytes());
    bytes.extend_from_slice(&sharpness.to_le_bytes());
    debug_assert_eq!(bytes.len(), HEADER);
    bytes.extend(facts.iter().flatten().flat_map(|weight| weight.to_le_bytes()));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within -127 to 127 by the choice of the step"
    )]
    bytes.extend(
        words
            .iter()
            .flatten()
            .map(|weight| ((weight / step).round() as i8).cast_unsigned()),
    );
    Classifier {
        bytes: Cow::Owned(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::exp;

    #[test]
    fn own_powers_of_e_agree_with_the_standard_librarys() {
        for step in 0..400_u16 {
            let power = -f64::from(step) / 10.0;
            assert!((exp(power) - power.exp()).abs() <= 1e-12, "{power}");
        }
    }
}

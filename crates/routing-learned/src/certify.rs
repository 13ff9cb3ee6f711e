//! Policies that keep a promise, with proof.
//!
//! A threshold that was tuned until a sample looked right breaks its promise on the next sample about every other time. Here a policy
//! is tested: rungs of a [`Ladder`] from safe to cheap are tested one after the other, each against "it loses more than promised", until
//! one is not proven; the last that was is the answer. Since the order was fixed before any label was seen, all tests together err
//! with the probability of one (fixed-sequence testing: Angelopoulos et al. 2021, arXiv 2110.01052). Each test is a bet
//! ([`PlannedTest`]), exact at every number of labels.
//!
//! The promise is for traffic like the calibration: drawn from the same source, in any order (exchangeable). For traffic that moves there
//! is the monitor.

use std::collections::BTreeMap;

use experiments::sequential::PlannedTest;
use experiments::statistics::Level;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::curve::{Hull, Point};
use crate::{HeldOut, LearnedError, Policy, Rule};

/// What is promised: "on average no answer scores more than this below the best model's, with this confidence".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    loss: f64,
    confidence: f64,
    /// The model to compare with; `None` for the one that is predicted best.
    against: Option<String>,
    #[serde(default)]
    worst_tag: bool,
}

impl Promise {
    /// A mean loss of at most this against the best model, with 90 % confidence.
    pub const fn loss_at_most(loss: f64) -> Self {
        Self {
            loss,
            confidence: 0.90,
            against: None,
            worst_tag: false,
        }
    }

    /// Against the model that is predicted best on average.
    #[must_use]
    pub fn vs_best(self) -> Self {
        Self {
            against: None,
            ..self
        }
    }

    /// Against this model.
    #[must_use]
    pub fn vs(self, model: impl Into<String>) -> Self {
        Self {
            against: Some(model.into()),
            ..self
        }
    }

    /// With this confidence, above 0.5 and below 1.
    #[must_use]
    pub fn confidence(self, confidence: f64) -> Self {
        Self { confidence, ..self }
    }

    /// For each tag of the calibration, not on average alone.
    #[must_use]
    pub fn for_the_worst_tag(self) -> Self {
        Self {
            worst_tag: true,
            ..self
        }
    }

    /// The largest mean loss, in the unit of scores.
    pub const fn loss(&self) -> f64 {
        self.loss
    }

    /// The level of its tests.
    ///
    /// # Errors
    /// [`LearnedError::OutOfRange`] unless the loss is above 0 and below 1, and the confidence above 0.5 and below 1.
    pub fn level(&self) -> Result<Level, LearnedError> {
        for (what, value, above, range) in [
            ("the promised loss", self.loss, 0.0, "above 0 and below 1"),
            ("the confidence", self.confidence, 0.5, "above 0.5 and below 1"),
        ] {
            if !(value > above && value < 1.0) {
                return Err(LearnedError::OutOfRange { what, range, value });
            }
        }
        Ok(Level::new(1.0 - self.confidence)?)
    }

    /// The mean that a loss of the promise has on the scale from 0 to 1 of tests.
    pub(crate) const fn mean(&self) -> f64 {
        f64::midpoint(1.0, self.loss)
    }
}

/// A loss from −1 to 1 on the scale from 0 to 1 of tests.
pub(crate) const fn on_scale(loss: f64) -> f64 {
    f64::midpoint(1.0, loss)
}

/// Policies from safe to cheap, laid out before any label of a calibration is seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    reference: usize,
    model: String,
    rungs: Vec<Rung>,
}

/// A policy, and what predictions say of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// What is certified if it passes.
    pub policy: Policy,
    /// The share of the reference's cost that it is expected to save.
    pub expected_saving: f64,
    /// How much it is expected to lose.
    pub expected_loss: f64,
    /// The variance of a loss, on the scale of tests, that its bet is planned for.
    variance: f64,
}

/// A rung for so many parts of the reference's cost.
const STEP: f64 = 0.03;

/// A policy that is expected to win less than this over chance at any saving is not worth a predictor.
const WORTH_ROUTING: f64 = 0.002;

/// Two models err together more than by chance: the variance of their difference is about this share of that of independent answers.
const TOGETHER: f64 = 0.6;

impl Ladder {
    /// Lays out a ladder for a promise on prompts of the same kind. Scores are not looked at, so that these prompts may be any but
    /// those of the calibration: those of training, or others without labels.
    ///
    /// Rungs are of the learned policy ([`Rule::Price`]), or mixtures of single models by chance if the prompt does not tell them apart: if
    /// training found no model that it tells from the best one, or what is predicted hardly depends on it.
    ///
    /// # Errors
    /// [`LearnedError::TooFew`] without a prompt; [`LearnedError::UnknownModel`] if the promise names another model;
    /// [`LearnedError::OutOfRange`] if the reference is expected to cost nothing: there is nothing to save.
    pub fn design(promise: &Promise, prompts: &HeldOut) -> Result<Self, LearnedError> {
        if prompts.is_empty() {
            return Err(LearnedError::TooFew {
                what: "a ladder on prompts",
                needed: 1,
                have: 0,
            });
        }
        let sketch = Sketch::new(promise, prompts)?;
        let routed = sketch.routed();
        let mixed = sketch.mixed();
        // At the same expected saving the one that is expected to lose less.
        let is_better = |rung: &Rung| {
            let at = mixed.partition_point(|mixed| mixed.expected_saving < rung.expected_saving);
            mixed
                .get(at)
                .is_some_and(|mixed| rung.expected_loss < mixed.expected_loss - WORTH_ROUTING)
        };
        let routes = mixed.is_empty() || (prompts.routable && routed.iter().any(is_better));
        Ok(Self {
            reference: sketch.reference,
            model: prompts.models()[sketch.reference].clone(),
            rungs: if routes { routed } else { mixed },
        })
    }

    /// The model that losses are counted against.
    pub fn reference(&self) -> &str {
        &self.model
    }

    pub(crate) const fn reference_number(&self) -> usize {
        self.reference
    }

    /// Its rungs, from safe to cheap.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// The models that the reference and the rungs choose for a request, by their numbers in ascending order: a label of it that can certify
    /// any of them has the scores of these.
    pub fn choices(&self, predicted: &[f32], expected_costs: &[f64]) -> Vec<usize> {
        let mut chosen = vec![self.reference];
        for rung in &self.rungs {
            match rung.policy {
                Policy::Single(model) => chosen.push(model),
                Policy::Mixed { cheap, dear, .. } => chosen.extend([cheap, dear]),
                Policy::Routed(rule) => chosen.extend(rule.choose(predicted, expected_costs)),
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Whether a ladder that was read from outside is one of these models.
    ///
    /// # Errors
    /// [`LearnedError::UnknownModel`] if its reference is not where it should be among the models; [`LearnedError::OutOfRange`] for a number of a
    /// rung that cannot be.
    pub fn check(&self, models: &[String]) -> Result<(), LearnedError> {
        if models.get(self.reference) != Some(&self.model) {
            return Err(LearnedError::UnknownModel(self.model.clone()));
        }
        for rung in &self.rungs {
            rung.policy.check(models.len())?;
            if !(0.0..=1.0).contains(&rung.variance) {
                return Err(LearnedError::OutOfRange {
                    what: "the variance of a rung",
                    range: "from 0 to 1",
                    value: rung.variance,
                });
            }
        }
        Ok(())
    }

    /// Tests rung after rung on labelled prompts that nothing was learnt or laid out from.
    ///
    /// # Errors
    /// [`LearnedError::OutOfRange`] for a promise that is none; [`LearnedError::TooFew`] without a prompt;
    /// [`LearnedError::UnknownModel`] if the calibration is of other models; and as [`check`](Self::check).
    pub fn certify(&self, promise: &Promise, calibration: &HeldOut) -> Result<Verdict, LearnedError> {
        self.certify_while(promise, calibration, &|_| true)
    }

    /// Goes up as long as a rung is proven and this holds of it too.
    pub(crate) fn certify_while(
        &self,
        promise: &Promise,
        calibration: &HeldOut,
        holds: &dyn Fn(&Rung) -> bool,
    ) -> Result<Verdict, LearnedError> {
        let level = promise.level()?;
        // A ladder may have been read from outside.
        self.check(calibration.models())?;
        if calibration.is_empty() {
            return Err(LearnedError::TooFew {
                what: "a certificate on labelled prompts",
                needed: 1,
                have: 0,
            });
        }
        let groups = groups(promise, calibration);
        let mut proven: Option<(usize, f64)> = None;
        let mut more_labels = None;
        for (number, rung) in self.rungs.iter().enumerate() {
            let mut worst = 0.0f64;
            let mut needed: Option<Option<u64>> = None;
            for rows in &groups {
                let tested = self.test(promise, level, rung, calibration, rows)?;
                worst = worst.max(tested.p_value);
                if tested.p_value > level.alpha() {
                    // Of several tags the one that takes the most decides.
                    needed = Some(match needed {
                        None => tested.more_labels,
                        Some(before) => before.zip(tested.more_labels).map(|(a, b)| a.max(b)),
                    });
                }
            }
            if let Some(needed) = needed {
                more_labels = needed;
                break;
            }
            if !holds(rung) {
                break;
            }
            proven = Some((number, worst));
        }
        Ok(match proven {
            None => Verdict::NotEnough {
                labels: calibration.len(),
                more_labels,
            },
            Some((number, p_value)) => {
                Verdict::Certified(self.certificate(promise, calibration, number, p_value, more_labels))
            }
        })
    }

    /// Certifies each tag of a calibration by its own labels alone: a promise for each, each with the promise's confidence by itself.
    ///
    /// # Errors
    /// As [`certify`](Self::certify).
    pub fn certify_each_tag(
        &self,
        promise: &Promise,
        calibration: &HeldOut,
    ) -> Result<BTreeMap<Option<String>, Verdict>, LearnedError> {
        let mut rows: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
        for (row, tag) in calibration.tags().iter().enumerate() {
            rows.entry(tag.clone()).or_default().push(row);
        }
        rows.into_iter()
            .map(|(tag, rows)| Ok((tag, self.certify(promise, &calibration.rows(&rows))?)))
            .collect()
    }

    fn test(
        &self,
        promise: &Promise,
        level: Level,
        rung: &Rung,
        calibration: &HeldOut,
        rows: &[usize],
    ) -> Result<Tested, LearnedError> {
        let n = rows.len() as u64;
        let mut test = PlannedTest::at_least(promise.mean(), n, rung.variance, level)?;
        let (mut sum, mut squares) = (0.0, 0.0);
        for row in rows {
            let x = on_scale(loss_of(&rung.policy, self.reference, calibration, *row)).clamp(0.0, 1.0);
            test.push(x)?;
            sum += x;
            squares += x * x;
        }
        let mean = sum / n as f64;
        let gap = promise.mean() - mean;
        let variance = (squares / n as f64 - mean * mean).max(1e-4);
        // ln E is about √(2L n) g/σ − L with L = ln(1/α), which is L at n = 2Lσ²/g².
        let needed = -2.0 * level.alpha().ln() * variance / gap.powi(2);
        let more_labels =
            (gap > 0.0 && needed < 1e9).then(|| (needed.ceil() as u64).saturating_sub(n).max(1));
        Ok(Tested {
            p_value: test.p_value(),
            more_labels,
        })
    }

    fn certificate(
        &self,
        promise: &Promise,
        calibration: &HeldOut,
        number: usize,
        p_value: f64,
        more_labels: Option<u64>,
    ) -> Certificate {
        let policy = self.rungs[number].policy;
        let n = calibration.len() as f64;
        let (mut loss, mut cost, mut reference_cost) = (0.0, 0.0, 0.0);
        for row in 0..calibration.len() {
            loss += loss_of(&policy, self.reference, calibration, row) / n;
            let costs = calibration.costs(row);
            cost += policy.expect(
                calibration.predicted(row),
                calibration.expected_costs(row),
                |model| costs[model],
            );
            reference_cost += costs[self.reference];
        }
        Certificate {
            promise: promise.clone(),
            reference: self.model.clone(),
            policy,
            saving: (reference_cost > 0.0)
                .then(|| 1.0 - cost / reference_cost)
                .filter(|saving| saving.is_finite()),
            loss,
            p_value,
            labels: calibration.len(),
            rung: number + 1,
            rungs: self.rungs.len(),
            more_labels_for_next: more_labels,
        }
    }
}

struct Tested {
    p_value: f64,
    more_labels: Option<u64>,
}

/// How much less a policy scores than the reference, −1 to 1.
pub(crate) fn loss_of(policy: &Policy, reference: usize, held: &HeldOut, row: usize) -> f64 {
    let scores = held.scores(row);
    let reached = policy.expect(held.predicted(row), held.expected_costs(row), |model| {
        f64::from(scores[model])
    });
    f64::from(scores[reference]) - reached
}

/// The rows that are tested together, each group in an order that has nothing to do with what is in them.
fn groups(promise: &Promise, calibration: &HeldOut) -> Vec<Vec<usize>> {
    let mut rows: Vec<usize> = (0..calibration.len()).collect();
    rows.sort_by_cached_key(|row| xxh3_64(calibration.ids[*row].as_bytes()));
    if !promise.worst_tag {
        return vec![rows];
    }
    let mut by_tag: BTreeMap<&Option<String>, Vec<usize>> = BTreeMap::new();
    for row in rows {
        by_tag.entry(&calibration.tags()[row]).or_default().push(row);
    }
    by_tag.into_values().collect()
}

/// What came of a calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A policy keeps the promise.
    Certified(Certificate),
    /// Not even the safest rung is proven: keep the reference.
    NotEnough {
        /// How many labelled prompts there were.
        labels: usize,
        /// About how many more it would take for the first rung; `None` if it seems to lose more than promised.
        more_labels: Option<u64>,
    },
}

impl Verdict {
    /// The certificate, if there is one.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Certified(certificate) => Some(certificate),
            Self::NotEnough { .. } => None,
        }
    }
}

/// A policy with the proof that it keeps a promise on traffic like its calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What is promised.
    pub promise: Promise,
    /// The model that losses and savings are counted against.
    pub reference: String,
    /// What chooses.
    pub policy: Policy,
    /// The share of the reference's cost that it saved on the calibration; `None` if that cost nothing, or more than
    /// numbers hold.
    pub saving: Option<f64>,
    /// How much it lost on the calibration. Negative if it won.
    pub loss: f64,
    /// The p-value of "it loses more than promised"; of the worst tag, if the promise is for each.
    pub p_value: f64,
    /// On how many labelled prompts it was tested.
    pub labels: usize,
    /// The rung of the ladder, from 1.
    pub rung: usize,
    /// How many rungs there are.
    pub rungs: usize,
    /// About how many more labels the next rung would take; `None` if there is no next one or it seems to lose too much.
    pub more_labels_for_next: Option<u64>,
}

/// What predictions say of policies on some prompts.
struct Sketch<'a> {
    prompts: &'a HeldOut,
    reference: usize,
    reference_cost: f64,
}

impl<'a> Sketch<'a> {
    fn new(promise: &Promise, prompts: &'a HeldOut) -> Result<Self, LearnedError> {
        let models = prompts.models();
        let means = prompts.mean_predictions();
        let reference = match &promise.against {
            Some(named) => models
                .iter()
                .position(|model| model == named)
                .ok_or_else(|| LearnedError::UnknownModel(named.clone()))?,
            None => (0..means.len()).fold(
                0,
                |best, model| if means[model] > means[best] { model } else { best },
            ),
        };
        let costs = (0..prompts.len()).map(|row| prompts.expected_costs(row)[reference]);
        let reference_cost = costs.sum::<f64>() / prompts.len() as f64;
        if reference_cost <= 0.0 {
            return Err(LearnedError::OutOfRange {
                what: "to save anything, the expected cost of the model that is compared with",
                range: "above 0",
                value: reference_cost,
            });
        }
        Ok(Self {
            prompts,
            reference,
            reference_cost,
        })
    }

    fn rung(&self, policy: Policy) -> Rung {
        let n = self.prompts.len() as f64;
        let (mut loss, mut cost, mut variance) = (0.0, 0.0, 0.0);
        for row in 0..self.prompts.len() {
            let predicted = self.prompts.predicted(row);
            let costs = self.prompts.expected_costs(row);
            let p = f64::from(predicted[self.reference]);
            loss += p - policy.expect(predicted, costs, |model| f64::from(predicted[model]));
            cost += policy.expect(predicted, costs, |model| costs[model]);
            variance += policy.expect(predicted, costs, |model| {
                if model == self.reference {
                    return 0.0;
                }
                let q = f64::from(predicted[model]);
                p * (1.0 - q) + q * (1.0 - p)
            });
        }
        Rung {
            policy,
            expected_saving: 1.0 - cost / n / self.reference_cost,
            expected_loss: loss / n,
            // A loss of −1 to 1 is half as wide on the scale of tests.
            variance: (TOGETHER * variance / n / 4.0).clamp(0.0, 1.0),
        }
    }

    /// The learned policy at prices that save a step more each.
    fn routed(&self) -> Vec<Rung> {
        let mut rungs: Vec<Rung> = Vec::new();
        for price in self.prompts.prices(240) {
            let rung = self.rung(Policy::Routed(Rule::Price(price)));
            let enough = rungs
                .last()
                .is_none_or(|last| rung.expected_saving >= last.expected_saving.max(0.0) + STEP);
            if enough {
                rungs.push(rung);
            }
        }
        rungs
    }

    /// The reference, mixed more and more with the model that loses the least for what it saves.
    fn mixed(&self) -> Vec<Rung> {
        let means = self.prompts.mean_predictions();
        let costs = self.prompts.mean_expected_costs();
        let single = (0..means.len()).map(|model| Point {
            cost: costs[model],
            quality: means[model],
        });
        let hull = Hull::of(single);
        let below = hull
            .points()
            .iter()
            .rev()
            .find(|point| point.cost < costs[self.reference]);
        let cheap = below.and_then(|point| (0..means.len()).find(|model| costs[*model] == point.cost));
        let Some(cheap) = cheap else {
            return Vec::new();
        };
        let shares = (1..=20).map(|step| f64::from(step) / 20.0);
        shares
            .map(|share| {
                self.rung(Policy::Mixed {
                    cheap,
                    dear: self.reference,
                    share,
                })
            })
            .collect()
    }
}

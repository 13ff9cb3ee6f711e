//! Watches whether a certified policy keeps its promise on live traffic.
//!
//! For a small random part of requests somebody learns what the reference would have scored (a shadow call and a judge, a user who
//! corrects, a test that runs). Each such label is a bet against "the promise is kept" ([`MeanTest`]): when the bets have won enough,
//! chance alone would have done that with at most the promise's error probability over the whole life of the monitor, so the promise is taken for
//! broken and the reference answers from then on. From a sliding window of the latest labels a new rung is certified, each attempt at a smaller level, so
//! that all attempts together err no more often than one would.

use std::collections::VecDeque;

use experiments::sequential::MeanTest;
use serde::{Deserialize, Serialize};

use crate::certify::{loss_of, on_scale};
use crate::{Certificate, HeldOut, Ladder, LearnedError, Policy, Promise, Verdict};

/// What a monitor says after a label.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// The policy goes on.
    Nothing,
    /// The promise is broken: the reference answers now.
    Broken,
    /// A new policy is certified on the window and answers now.
    Certified(Box<Certificate>),
}

/// Watches one promise.
#[derive(Debug, Clone)]
pub struct Monitor {
    promise: Promise,
    ladder: Ladder,
    policy: Policy,
    test: MeanTest,
    broken: bool,
    window: VecDeque<Label>,
    longest: usize,
    since_attempt: usize,
    attempts: u32,
    /// Filled again for each attempt.
    rows: HeldOut,
}

/// A request of which it is known what every model that a rung of the ladder would choose scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Its name; labels of the same name are the same request.
    pub id: String,
    /// Its tag.
    pub tag: Option<String>,
    /// What was predicted, by model.
    pub predicted: Vec<f32>,
    /// What was expected of its costs, by model, in pico-dollars.
    pub expected_costs: Vec<f64>,
    /// What came of it, by model, 0 to 1. Of models that no rung chooses the value is not looked at.
    pub scores: Vec<f32>,
    /// What it cost, by model, in pico-dollars.
    pub costs: Vec<f64>,
}

/// A new attempt to certify is made after so many labels.
const LABELS_BETWEEN_ATTEMPTS: usize = 25;

impl Monitor {
    /// Watches the policy of a certificate. `window` is how many of the latest labels a new certificate is made from.
    ///
    /// # Errors
    /// [`LearnedError::OutOfRange`] for a promise that is none; [`LearnedError::TooFew`] for a window below 100; those of
    /// [`Ladder::check`] and [`Policy::check`] for a ladder or a policy of other models.
    pub fn new(
        certificate: &Certificate,
        ladder: Ladder,
        models: &[String],
        window: usize,
    ) -> Result<Self, LearnedError> {
        const SHORTEST: usize = 100;
        if window < SHORTEST {
            return Err(LearnedError::TooFew {
                what: "a window of labels",
                needed: SHORTEST,
                have: window,
            });
        }
        ladder.check(models)?;
        certificate.policy.check(models.len())?;
        Ok(Self {
            promise: certificate.promise.clone(),
            ladder,
            policy: certificate.policy,
            test: Self::test(&certificate.promise)?,
            broken: false,
            window: VecDeque::new(),
            longest: window,
            since_attempt: 0,
            attempts: 0,
            rows: HeldOut::empty(models),
        })
    }

    /// What chooses now: the certified policy, or the reference alone after the promise was broken.
    pub const fn policy(&self) -> Policy {
        if self.broken {
            Policy::Single(self.ladder.reference_number())
        } else {
            self.policy
        }
    }

    /// Whether the promise is taken for broken.
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// The p-value of "the promise is kept" over all labels since the policy was certified.
    pub fn p_value(&self) -> f64 {
        self.test.p_value()
    }

    /// Takes a label of a request that chance chose, whatever was answered.
    ///
    /// # Errors
    /// [`LearnedError::OutOfRange`] for a label that is not of as many models, or with a score that is not from 0 to 1 or a cost or prediction that
    /// is no number; nothing changes then.
    pub fn observe(&mut self, label: Label) -> Result<Heard, LearnedError> {
        self.check(&label)?;
        if self.window.len() == self.longest {
            self.window.pop_front();
        }
        if !self.broken {
            self.rows.clear();
            self.rows.push(&label);
            let loss = loss_of(&self.policy, self.ladder.reference_number(), &self.rows, 0);
            self.test.push(on_scale(loss).clamp(0.0, 1.0))?;
            self.window.push_back(label);
            if self.test.p_value() > self.promise.level()?.alpha() {
                return Ok(Heard::Nothing);
            }
            self.broken = true;
            self.since_attempt = 0;
            // What came before was of the time when the promise broke.
            self.window.clear();
            return Ok(Heard::Broken);
        }
        self.window.push_back(label);
        self.since_attempt += 1;
        if self.since_attempt < LABELS_BETWEEN_ATTEMPTS {
            return Ok(Heard::Nothing);
        }
        self.since_attempt = 0;
        self.attempts += 1;
        self.rows.clear();
        for label in &self.window {
            self.rows.push(label);
        }
        // 6/(π²j²) adds up to 1 over all attempts j (Euler).
        let share = 6.0 / (std::f64::consts::PI * f64::from(self.attempts)).powi(2);
        let error = self.promise.level()?.alpha() * share;
        let stricter = self.promise.clone().confidence(1.0 - error);
        if stricter.level().is_err() {
            // So near to certainty that no test is strict enough.
            return Ok(Heard::Nothing);
        }
        match self.ladder.certify(&stricter, &self.rows)? {
            Verdict::NotEnough { .. } => Ok(Heard::Nothing),
            Verdict::Certified(certificate) => {
                self.policy = certificate.policy;
                self.test = Self::test(&self.promise)?;
                self.broken = false;
                Ok(Heard::Certified(Box::new(certificate)))
            }
        }
    }

    fn test(promise: &Promise) -> Result<MeanTest, LearnedError> {
        Ok(MeanTest::at_most(promise.mean(), promise.level()?)?)
    }

    /// Whether a label can be taken.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    pub fn check(&self, label: &Label) -> Result<(), LearnedError> {
        let models = self.rows.models().len();
        let lengths = [
            label.predicted.len(),
            label.expected_costs.len(),
            label.scores.len(),
            label.costs.len(),
        ];
        if let Some(other) = lengths.into_iter().find(|length| *length != models) {
            return Err(LearnedError::OutOfRange {
                what: "the number of models of a label",
                range: "that of the predictor",
                value: other as f64,
            });
        }
        if let Some(score) = label.scores.iter().find(|score| !(0.0..=1.0).contains(*score)) {
            return Err(LearnedError::OutOfRange {
                what: "a score",
                range: "from 0 to 1",
                value: f64::from(*score),
            });
        }
        let numbers = label.predicted.iter().map(|value| f64::from(*value));
        let costs = label.expected_costs.iter().chain(&label.costs).copied();
        match numbers.chain(costs).find(|value| !value.is_finite()) {
            Some(value) => Err(LearnedError::OutOfRange {
                what: "a prediction or cost of a label",
                range: "a number",
                value,
            }),
            None => Ok(()),
        }
    }
}

//! What chooses a model for a request.

use serde::{Deserialize, Serialize};

use crate::{LearnedError, Rule};

/// A policy over the models of one predictor, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Policy {
    /// Always this model.
    Single(usize),
    /// One of two models by chance, whatever the prompt: a point of the zero router.
    Mixed {
        /// The cheaper one.
        cheap: usize,
        /// The dearer one.
        dear: usize,
        /// How often the cheaper one is chosen, from 0 to 1.
        share: f64,
    },
    /// By what is predicted of the prompt.
    Routed(Rule),
}

/// A model, and how probable it was that it would be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Its number.
    pub model: usize,
    /// Above 0, at most 1. To be logged: without it nothing can be learnt of other policies.
    pub propensity: f64,
}

impl Policy {
    /// Chooses a model. `draw` is a random number from 0 up to 1, of which only a mixture makes use. Nothing is allocated.
    #[inline]
    pub fn choose(&self, predicted: &[f32], expected_costs: &[f64], draw: f64) -> Option<Choice> {
        let sure = |model| Choice {
            model,
            propensity: 1.0,
        };
        match *self {
            Self::Single(model) => Some(sure(model)),
            Self::Mixed { cheap, dear, share } => {
                let (model, propensity) = if draw < share {
                    (cheap, share)
                } else {
                    (dear, 1.0 - share)
                };
                Some(Choice { model, propensity })
            }
            Self::Routed(rule) => rule.choose(predicted, expected_costs).map(sure),
        }
    }

    /// Whether a policy that was read from outside is one of so many models.
    ///
    /// # Errors
    /// [`LearnedError::OutOfRange`] for a model that there is not, a mixture of one with itself (its propensity would not be that of
    /// the share), a share that is not from 0 to 1, or a price or score that is no number.
    pub fn check(&self, models: usize) -> Result<(), LearnedError> {
        let known = |model: usize| {
            if model < models {
                return Ok(());
            }
            Err(LearnedError::OutOfRange {
                what: "the number of a model in a policy",
                range: "that of one of its models, from 0",
                value: model as f64,
            })
        };
        match *self {
            Self::Single(model) => known(model),
            Self::Mixed { cheap, dear, share } => {
                known(cheap)?;
                known(dear)?;
                if cheap == dear {
                    return Err(LearnedError::OutOfRange {
                        what: "the number of the dearer model of a mixture",
                        range: "another than that of the cheaper one",
                        value: dear as f64,
                    });
                }
                if (0.0..=1.0).contains(&share) {
                    return Ok(());
                }
                Err(LearnedError::OutOfRange {
                    what: "the share of a mixture",
                    range: "from 0 to 1",
                    value: share,
                })
            }
            Self::Routed(Rule::AtLeast(dial) | Rule::Price(dial)) if dial.is_finite() => Ok(()),
            Self::Routed(Rule::AtLeast(dial) | Rule::Price(dial)) => Err(LearnedError::OutOfRange {
                what: "the score or price of a policy",
                range: "a number",
                value: dial,
            }),
        }
    }

    /// The mean over its own chance of a value by model.
    pub(crate) fn expect(
        &self,
        predicted: &[f32],
        expected_costs: &[f64],
        value: impl Fn(usize) -> f64,
    ) -> f64 {
        match *self {
            Self::Single(model) => value(model),
            Self::Mixed { cheap, dear, share } => share * value(cheap) + (1.0 - share) * value(dear),
            Self::Routed(rule) => value(rule.choose(predicted, expected_costs).unwrap_or_default()),
        }
    }
}

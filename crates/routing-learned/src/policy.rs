//! What chooses a model for a request.

use serde::{Deserialize, Serialize};

use crate::Rule;

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

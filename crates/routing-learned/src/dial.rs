//! The family of policies that one number turns from safe to cheap.

use serde::{Deserialize, Serialize};

use crate::HeldOut;

/// How a model is chosen from predictions and expected costs. Each has one number, its dial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// The cheapest model whose predicted score is at least this; if there is none, the one predicted best.
    AtLeast(f64),
    /// The model with the most predicted score less this price times its expected cost in pico-dollars.
    Price(f64),
}

impl Rule {
    /// The number of the model that the rule chooses. Of equals the cheaper, then the first. `None` without a model.
    ///
    /// Nothing is allocated. A score or cost that is no number is never chosen, unless there is nothing else.
    #[inline]
    pub fn choose(self, predicted: &[f32], expected_costs: &[f64]) -> Option<usize> {
        match self {
            Self::AtLeast(quality) => cheapest(predicted, expected_costs, quality)
                .or_else(|| most_useful(predicted, expected_costs, 0.0)),
            Self::Price(price) => most_useful(predicted, expected_costs, price),
        }
        .or_else(|| (!predicted.is_empty()).then_some(0))
    }
}

fn cheapest(predicted: &[f32], costs: &[f64], quality: f64) -> Option<usize> {
    let mut best: Option<(usize, f64, f32)> = None;
    for (model, (score, cost)) in predicted.iter().zip(costs).enumerate() {
        if f64::from(*score) < quality || score.is_nan() || cost.is_nan() {
            continue;
        }
        if best.is_none_or(|(_, least, most)| *cost < least || (*cost == least && *score > most)) {
            best = Some((model, *cost, *score));
        }
    }
    best.map(|(model, ..)| model)
}

fn most_useful(predicted: &[f32], costs: &[f64], price: f64) -> Option<usize> {
    let mut best: Option<(usize, f64, f64)> = None;
    for (model, (score, cost)) in predicted.iter().zip(costs).enumerate() {
        let useful = f64::from(*score) - price * cost;
        if useful.is_nan() || cost.is_nan() {
            continue;
        }
        if best.is_none_or(|(_, most, least)| useful > most || (useful == most && *cost < least)) {
            best = Some((model, useful, *cost));
        }
    }
    best.map(|(model, ..)| model)
}

impl HeldOut {
    /// Which model a rule chooses for each prompt.
    pub fn choices(&self, rule: Rule) -> Vec<usize> {
        (0..self.len())
            .map(|row| {
                rule.choose(self.predicted(row), self.expected_costs(row))
                    .unwrap_or_default()
            })
            .collect()
    }

    /// Prices from 0, where cost does not matter, to where nothing else does: each a step dearer than the one before.
    pub fn prices(&self, steps: usize) -> Vec<f64> {
        let costs = self.mean_expected_costs();
        let span = costs.iter().copied().fold(0.0f64, f64::max);
        if span <= 0.0 {
            return vec![0.0];
        }
        // A score of .001 for the dearest answer, up to 1,000 for it.
        let (least, most) = (1e-3f64, 1e3f64);
        let ratio = (most / least).powf(1.0 / (steps.max(2) - 1) as f64);
        std::iter::once(0.0)
            .chain((0..steps).map(|step| least * ratio.powi(step as i32) / span))
            .collect()
    }
}

//! A policy that was learnt from outcomes, over the models of a row that its predictor knows.

use std::path::Path;

use routing::OutcomeRow;
use routing_learned::{Predictor, Rule, Scratch};

use crate::cli::{ReplayArgs, WrongUsage};
use crate::learned::read_predictor;

/// The least predicted score where the policy's word says none.
const QUALITY: f64 = 0.8;

/// The cheapest model that is predicted to score so much.
pub(super) struct Learned {
    predictor: Predictor,
    quality: f64,
    scratch: Scratch,
    scores: Vec<f32>,
    /// What was predicted and expected of the rows that were asked of, row after row.
    predicted: Vec<f32>,
    costs: Vec<Option<f64>>,
    rows: usize,
}

impl Learned {
    /// Of `FILE` or `FILE@SCORE`.
    pub(super) fn new(word: &str, args: &ReplayArgs) -> Result<Self, WrongUsage> {
        if let Some(rule) = super::policy::rule(args) {
            return Err(WrongUsage(format!(
                "`{rule}` is about the catalogue's models, and a learned policy knows its own; its least score is written learned:FILE@0.8"
            )));
        }
        let (file, quality) = match word.rsplit_once('@') {
            Some((file, score)) => {
                let quality = score
                    .parse::<f64>()
                    .ok()
                    .filter(|score| (0.0..=1.0).contains(score));
                let quality = quality.ok_or_else(|| {
                    WrongUsage(format!(
                        "'{score}' is no least score from 0 to 1; write learned:FILE@0.8"
                    ))
                })?;
                (file, quality)
            }
            None => (word, QUALITY),
        };
        let (predictor, _) = read_predictor(Path::new(file))?;
        let models = 0..predictor.models().len();
        if models
            .into_iter()
            .any(|model| predictor.expected_cost(model, None).is_none())
        {
            return Err(WrongUsage(format!(
                "{file}: it was trained without the costs of some models, so that it cannot tell the cheapest"
            )));
        }
        Ok(Self {
            predictor,
            quality,
            scratch: Scratch::new(),
            scores: Vec::new(),
            predicted: Vec::new(),
            costs: Vec::new(),
            rows: 0,
        })
    }

    /// Predicts a row, and gives the number by which it is asked for.
    pub(super) fn ask(&mut self, row: &OutcomeRow) -> usize {
        let tag = row.task.as_deref();
        let (scratch, scores) = (&mut self.scratch, &mut self.scores);
        let is_with_vector = row.embedding.as_ref().is_some_and(|vector| {
            let with = self
                .predictor
                .predict_with(&row.prompt, tag, vector, scratch, scores);
            with.is_ok()
        });
        if !is_with_vector {
            self.predictor.predict(&row.prompt, tag, scratch, scores);
        }
        self.predicted.extend_from_slice(&self.scores);
        let models = 0..self.predictor.models().len();
        // A weight to compare models by; what they have cost is in the file.
        let cost = |model| Some(self.predictor.expected_cost(model, tag)?.cost.get() as f64);
        self.costs.extend(models.map(cost));
        self.rows += 1;
        self.rows - 1
    }

    /// The place of the chosen model among these names; `None` if the predictor knows none of them.
    pub(super) fn choose<'n>(&self, row: usize, names: impl Iterator<Item = &'n String>) -> Option<usize> {
        let models = self.predictor.models().len();
        let of_row = row * models..(row + 1) * models;
        let (scores, costs) = (self.predicted.get(of_row.clone())?, self.costs.get(of_row)?);
        let (mut places, mut predicted, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (place, name) in names.enumerate() {
            let Ok(model) = self.predictor.models().binary_search(name) else {
                continue;
            };
            if let (Some(score), Some(Some(cost))) = (scores.get(model), costs.get(model)) {
                places.push(place);
                predicted.push(*score);
                expected.push(*cost);
            }
        }
        let chosen = Rule::AtLeast(self.quality).choose(&predicted, &expected)?;
        places.get(chosen).copied()
    }

    /// Whether the predictor has learnt anything of a model.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.predictor
            .models()
            .binary_search_by(|known| known.as_str().cmp(name))
            .is_ok()
    }
}

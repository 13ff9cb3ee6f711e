//! Prompts with what came of them at every model, and what was predicted by a predictor that had not seen them.

use crate::monitor::Label;
use crate::outcomes::{Outcomes, fold};
use crate::train::{Progress, TrainOptions, train_for};
use crate::{LearnedError, Predictor, Scratch};

/// Scores, costs and predictions of prompts at a pool of models: what policies are judged and certified on. Rows are
/// prompts, in the order of their names.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    pub(crate) models: Vec<String>,
    pub(crate) ids: Vec<String>,
    pub(crate) tags: Vec<Option<String>>,
    /// Row after row.
    pub(crate) scores: Vec<f32>,
    /// Row after row, in pico-dollars. Weights of means, of which nothing is booked.
    pub(crate) costs: Vec<f64>,
    pub(crate) predicted: Vec<f32>,
    /// What was expected before the answer.
    pub(crate) expected_costs: Vec<f64>,
    /// Whether training found that the prompt tells models apart.
    pub(crate) routable: bool,
}

/// What predictions may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// The words of the prompt alone.
    Text,
    /// Its tag too.
    TextAndTag,
}

impl HeldOut {
    /// Predicts these outcomes with a predictor that was trained on others. Prompts without a vector are predicted by their words.
    ///
    /// # Errors
    /// [`LearnedError::UnknownModel`] unless every prompt has an outcome of every model of the predictor;
    /// [`LearnedError::UnknownCost`] unless the cost of each is known; [`LearnedError::TooFew`] without a prompt;
    /// [`LearnedError::OtherEmbedding`] if prompts have vectors of another model than the predictor's.
    pub fn of(predictor: &Predictor, outcomes: &Outcomes, inputs: Inputs) -> Result<Self, LearnedError> {
        let outcomes = outcomes.only(predictor.models())?;
        if outcomes.is_empty() {
            return Err(LearnedError::TooFew {
                what: "an evaluation on prompts",
                needed: 1,
                have: 0,
            });
        }
        let mut held = Self::empty(predictor.models());
        held.predict(predictor, &outcomes, inputs)?;
        Ok(held)
    }

    /// Predicts each prompt with a predictor trained on the other parts of the same outcomes. Which part a prompt is in is decided by its
    /// name ([`fold`]).
    ///
    /// # Errors
    /// As [`of`](Self::of) and [`train`](crate::train).
    pub fn out_of_fold(
        outcomes: &Outcomes,
        options: &TrainOptions,
        inputs: Inputs,
        folds: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, LearnedError> {
        let mut models = outcomes.models().to_vec();
        models.sort();
        let complete = outcomes.only(&models)?;
        let mut held = Self::empty(&models);
        let mut done = 0;
        for part in 0..folds {
            let rest = complete.filtered(|prompt| fold(prompt.id(), folds) != part);
            let predictor = train_for(&rest, options, Some(inputs), &mut |step| {
                done += 1;
                progress(Progress {
                    done,
                    of: step.of * folds as u32,
                });
            })?;
            let this = complete.filtered(|prompt| fold(prompt.id(), folds) == part);
            held.predict(&predictor, &this, inputs)?;
        }
        Ok(held.sorted())
    }

    pub(crate) fn empty(models: &[String]) -> Self {
        Self {
            models: models.to_vec(),
            ids: Vec::new(),
            tags: Vec::new(),
            scores: Vec::new(),
            costs: Vec::new(),
            predicted: Vec::new(),
            expected_costs: Vec::new(),
            routable: false,
        }
    }

    fn predict(
        &mut self,
        predictor: &Predictor,
        outcomes: &Outcomes,
        inputs: Inputs,
    ) -> Result<(), LearnedError> {
        let summary = predictor.summary();
        let tagged = summary.tagged.filter(|_| inputs == Inputs::TextAndTag);
        self.routable |= tagged.unwrap_or(summary.text).routable;
        let embedding = predictor.embedding();
        if let (Some(wanted), Some(known)) = (embedding, outcomes.embedding())
            && wanted != known
        {
            return Err(LearnedError::OtherEmbedding {
                wanted: wanted.to_owned(),
                known: known.to_owned(),
            });
        }
        let nearest = summary.nearest.as_ref().filter(|_| embedding.is_some());
        let blend = nearest.and_then(|nearest| match tagged {
            Some(_) => nearest.tagged,
            None => nearest.text,
        });
        let mut scratch = Scratch::new();
        let mut predicted = Vec::new();
        for prompt in outcomes.prompts() {
            let tag = prompt.tag().filter(|_| inputs == Inputs::TextAndTag);
            match prompt.vector().filter(|_| embedding.is_some()) {
                Some(vector) => {
                    self.routable |= blend.is_some_and(|blend| blend.share > 0.0 && blend.routable);
                    predictor.predict_with(prompt.text(), tag, vector, &mut scratch, &mut predicted)?;
                }
                None => predictor.predict(prompt.text(), tag, &mut scratch, &mut predicted),
            }
            self.predicted.extend_from_slice(&predicted);
            for (number, model) in self.models.iter().enumerate() {
                let unknown = || LearnedError::UnknownCost(model.clone());
                let scored = prompt
                    .of(number)
                    .ok_or_else(|| LearnedError::UnknownModel(model.clone()))?;
                let expected = predictor.expected_cost(number, tag).ok_or_else(unknown)?;
                self.scores.push(scored.score as f32);
                self.costs.push(scored.cost.ok_or_else(unknown)?.get() as f64);
                self.expected_costs.push(expected.cost.get() as f64);
            }
            self.ids.push(prompt.id().to_owned());
            self.tags.push(prompt.tag().map(str::to_owned));
        }
        Ok(())
    }

    /// The same, whatever order its parts came in.
    fn sorted(&self) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|a, b| self.ids[*a].cmp(&self.ids[*b]));
        self.rows(&order)
    }

    /// These rows, in this order; a row may come again.
    #[must_use]
    pub fn rows(&self, rows: &[usize]) -> Self {
        let models = self.models.len();
        let wide = |values: &[f64]| -> Vec<f64> {
            rows.iter()
                .flat_map(|row| &values[row * models..(row + 1) * models])
                .copied()
                .collect()
        };
        let narrow = |values: &[f32]| -> Vec<f32> {
            rows.iter()
                .flat_map(|row| &values[row * models..(row + 1) * models])
                .copied()
                .collect()
        };
        Self {
            models: self.models.clone(),
            ids: rows.iter().map(|row| self.ids[*row].clone()).collect(),
            tags: rows.iter().map(|row| self.tags[*row].clone()).collect(),
            scores: narrow(&self.scores),
            costs: wide(&self.costs),
            predicted: narrow(&self.predicted),
            expected_costs: wide(&self.expected_costs),
            routable: self.routable,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.tags.clear();
        self.scores.clear();
        self.costs.clear();
        self.predicted.clear();
        self.expected_costs.clear();
    }

    /// Adds a row, which is of as many models.
    pub(crate) fn push(&mut self, label: &Label) {
        self.ids.push(label.id.clone());
        self.tags.push(label.tag.clone());
        self.scores.extend_from_slice(&label.scores);
        self.costs.extend_from_slice(&label.costs);
        self.predicted.extend_from_slice(&label.predicted);
        self.expected_costs.extend_from_slice(&label.expected_costs);
    }

    /// A row as a label of a monitor.
    pub fn label(&self, row: usize) -> Label {
        Label {
            id: self.ids[row].clone(),
            tag: self.tags[row].clone(),
            predicted: self.predicted(row).to_vec(),
            expected_costs: self.expected_costs(row).to_vec(),
            scores: self.scores(row).to_vec(),
            costs: self.costs(row).to_vec(),
        }
    }

    /// How many prompts there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The models, sorted.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// The tag of each prompt.
    pub fn tags(&self) -> &[Option<String>] {
        &self.tags
    }

    /// The scores of a prompt, by model.
    pub fn scores(&self, row: usize) -> &[f32] {
        self.of_row(&self.scores, row)
    }

    /// What was predicted of a prompt, by model.
    pub fn predicted(&self, row: usize) -> &[f32] {
        self.of_row(&self.predicted, row)
    }

    /// What a prompt cost, by model, in pico-dollars.
    pub fn costs(&self, row: usize) -> &[f64] {
        self.of_row(&self.costs, row)
    }

    /// What a prompt was expected to cost, by model, in pico-dollars.
    pub fn expected_costs(&self, row: usize) -> &[f64] {
        self.of_row(&self.expected_costs, row)
    }

    fn of_row<'a, T>(&self, values: &'a [T], row: usize) -> &'a [T] {
        let models = self.models.len();
        &values[row * models..(row + 1) * models]
    }

    /// The mean score of each model.
    pub fn mean_scores(&self) -> Vec<f64> {
        self.means(|row, model| f64::from(self.scores[row * self.models.len() + model]))
    }

    /// The mean cost of each model in pico-dollars.
    pub fn mean_costs(&self) -> Vec<f64> {
        self.means(|row, model| self.costs[row * self.models.len() + model])
    }

    /// The mean of what was predicted of each model.
    pub fn mean_predictions(&self) -> Vec<f64> {
        self.means(|row, model| f64::from(self.predicted[row * self.models.len() + model]))
    }

    /// The mean expected cost of each model in pico-dollars.
    pub fn mean_expected_costs(&self) -> Vec<f64> {
        self.means(|row, model| self.expected_costs[row * self.models.len() + model])
    }

    fn means(&self, of: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let n = self.len() as f64;
        (0..self.models.len())
            .map(|model| (0..self.len()).map(|row| of(row, model)).sum::<f64>() / n)
            .collect()
    }

    /// The model with the best mean score; the first by name of equals.
    pub fn best(&self) -> usize {
        let means = self.mean_scores();
        (0..means.len()).fold(
            0,
            |best, model| if means[model] > means[best] { model } else { best },
        )
    }
}

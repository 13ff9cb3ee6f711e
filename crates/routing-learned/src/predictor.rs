//! How good each model's answer to a prompt will be, before any is asked.

use std::collections::BTreeMap;

use costing::Pico;
use serde::{Deserialize, Serialize};

use crate::LearnedError;
use crate::features::{COUNTS, PLACES, Scratch};
use crate::nearest::{Nearest, NearestSummary, normalised};

/// Predicts scores of a pool of models. Made by [`train`](crate::train) or read from a file
/// ([`from_bytes`](Self::from_bytes)).
///
/// A prediction is a ridge regression on hashed words: with a tag that was seen in training, the tag, the words and plain
/// counts; otherwise the words and counts alone. Where outcomes came with vectors of their prompts that tell more, and the prompt has one
/// too, what its nearest prompts tell is mixed in ([`predict_with`](Self::predict_with)). It is only as good as the outcomes are like the traffic: elsewhere it is close to a guess.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictor {
    pub(crate) models: Vec<String>,
    /// Sorted.
    pub(crate) tags: Vec<String>,
    pub(crate) scale: Scale,
    pub(crate) text: Head,
    /// There is none if no prompt had a tag.
    pub(crate) tagged: Option<Head>,
    /// There is none unless vectors are used.
    pub(crate) nearest: Option<Nearest>,
    pub(crate) figures: Figures,
    pub(crate) summary: Summary,
}

/// What plain counts are in training, so that they can be told in standard deviations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) mean: [f32; COUNTS],
    pub(crate) deviation: [f32; COUNTS],
}

/// Counts matter this much less than words, which are scaled to length 1.
const COUNT_WEIGHT: f32 = 0.05;

impl Scale {
    pub(crate) fn scaled(&self, counts: &[f32; COUNTS]) -> [f32; COUNTS] {
        std::array::from_fn(|i| {
            let deviations = (counts[i] - self.mean[i]) / self.deviation[i];
            COUNT_WEIGHT * deviations.clamp(-4.0, 4.0)
        })
    }
}

/// One regression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// By model.
    pub(crate) base: Vec<f32>,
    /// For each place the square of its rarity, then by model its weight times its rarity.
    pub(crate) places: Vec<f32>,
    /// For each count, by model.
    pub(crate) counts: Vec<f32>,
    /// For each tag, by model.
    pub(crate) tags: Vec<f32>,
}

impl Head {
    fn predict(&self, scale: &Scale, tag: Option<usize>, scratch: &mut Scratch, scores: &mut [f32]) {
        let models = scores.len();
        let Scratch {
            places, counts, sums, ..
        } = scratch;
        sums.clear();
        sums.resize(models + 1, 0.0);
        for place in places.iter() {
            let start = usize::from(*place) * (models + 1);
            let Some(row) = self.places.get(start..=start + models) else {
                continue;
            };
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        let (length, words) = sums.split_first().map_or((0.0, [].as_slice()), |(l, w)| (*l, w));
        let one_over = if length > 0.0 { length.sqrt().recip() } else { 0.0 };
        for ((score, base), word) in scores.iter_mut().zip(&self.base).zip(words) {
            *score = base + word * one_over;
        }
        let scaled = scale.scaled(counts);
        for (count, row) in scaled.iter().zip(self.counts.chunks_exact(models)) {
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += count * weight;
            }
        }
        if let Some(row) = tag.and_then(|tag| self.tags.get(tag * models..(tag + 1) * models)) {
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += weight;
            }
        }
        for score in scores {
            *score = score.clamp(0.0, 1.0);
        }
    }
}

/// What answers have cost, and how long they were, by tag and model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of all prompts, by model.
    pub(crate) all: Vec<Figure>,
    /// By tag, then by model.
    pub(crate) by_tag: Vec<Vec<Figure>>,
}

/// Of the prompts of one tag at one model. Means of what is known alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// How many costs the mean is of.
    pub(crate) costs: u64,
    /// The mean cost.
    pub(crate) cost: Option<Pico>,
    /// How many lengths the mean is of.
    pub(crate) lengths: u64,
    /// The mean number of tokens written.
    pub(crate) completion_tokens: Option<f64>,
}

/// How a predictor came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// How many prompts it was trained on.
    pub prompts: u64,
    /// How many outcomes they had.
    pub outcomes: u64,
    /// The strength of the penalty on weights.
    pub penalty: f64,
    /// The regression on words alone, and how it was found.
    pub text: HeadSummary,
    /// The regression on tag and words; `None` if no prompt had a tag.
    pub tagged: Option<HeadSummary>,
    /// What vectors of prompts add; `None` if no prompt had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<NearestSummary>,
    /// By model.
    pub models: BTreeMap<String, ModelSummary>,
}

/// How one regression did on prompts that it was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSummary {
    /// In how many directions predictions differ over the pool, found by cross-validation; `None` if all of them do.
    pub rank: Option<u32>,
    /// The mean squared error of the prediction, by cross-validation.
    pub squared_error: f64,
    /// That of always predicting a model's mean.
    pub squared_error_of_means: f64,
    /// Whether the prompt tells where at least one model need not give way to the best one ([`routability`](crate::metrics::routability) by
    /// cross-validation). If not, [`Ladder`](crate::Ladder) mixes models by chance and does not route.
    pub routable: bool,
}

/// One model in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSummary {
    /// How many prompts it had answered.
    pub outcomes: u64,
    /// Its mean score.
    pub mean_score: f64,
}

/// An expected cost, and how many costs it is the mean of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedCost {
    /// The mean, without markup.
    pub cost: Pico,
    /// How many answers it is the mean of.
    pub answers: u64,
}

/// So many answers of a tag must be known for its own mean to be taken instead of that of all.
const ENOUGH_OF_A_TAG: u64 = 10;

impl Predictor {
    /// The models, in the order of all predictions. Sorted by name.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// The tags that were seen in training, sorted.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// How it came about.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The model whose vector of a prompt [`predict_with`](Self::predict_with) takes; `None` if vectors are not used.
    pub fn embedding(&self) -> Option<&str> {
        self.nearest.as_ref()?;
        Some(self.summary.nearest.as_ref()?.embedding.as_str())
    }

    /// How many numbers such a vector has.
    pub fn dimensions(&self) -> Option<usize> {
        Some(self.nearest.as_ref()?.dimensions)
    }

    /// Predicts the score, from 0 to 1, of each model on a prompt, by its words and tag alone. Nothing is allocated once `scratch` has been
    /// used.
    ///
    /// `scores` is filled in the order of [`models`](Self::models). A tag that was not seen in training is none.
    ///
    pub fn predict(&self, prompt: &str, tag: Option<&str>, scratch: &mut Scratch, scores: &mut Vec<f32>) {
        scratch.read(prompt);
        scores.clear();
        scores.resize(self.models.len(), 0.0);
        let tag = tag.and_then(|tag| self.tag_number(tag));
        let head = match (&self.tagged, tag) {
            (Some(tagged), Some(_)) => tagged,
            _ => &self.text,
        };
        head.predict(&self.scale, tag, scratch, scores);
    }

    /// As [`predict`](Self::predict), with the prompt's vector: what the prompts nearest to it have shown is mixed in. A caller who has no
    /// vector, since the call for it failed, predicts without: the prediction is the worse one, and no error.
    ///
    /// # Errors
    /// [`LearnedError::Vector`] unless vectors are used, this one has [`dimensions`](Self::dimensions) numbers and they are not all 0.
    /// `scores` is what words and tag say then.
    pub fn predict_with(
        &self,
        prompt: &str,
        tag: Option<&str>,
        vector: &[f32],
        scratch: &mut Scratch,
        scores: &mut Vec<f32>,
    ) -> Result<(), LearnedError> {
        self.predict(prompt, tag, scratch, scores);
        let wrong = |problem: &str| LearnedError::Vector {
            id: "the prompt".to_owned(),
            problem: problem.to_owned(),
        };
        let (Some(nearest), Some(summary)) = (&self.nearest, &self.summary.nearest) else {
            return Err(wrong("is not used by this predictor"));
        };
        if vector.len() != nearest.dimensions {
            return Err(wrong(&format!(
                "has {} numbers, and those of the predictor have {}",
                vector.len(),
                nearest.dimensions
            )));
        }
        normalised(vector, &mut scratch.room.query)
            .ok_or_else(|| wrong("must be of numbers that are not all 0"))?;
        let tag = tag
            .and_then(|tag| self.tag_number(tag))
            .filter(|_| self.tagged.is_some());
        let blend = if tag.is_some() {
            summary.tagged
        } else {
            summary.text
        };
        if let Some(blend) = blend.filter(|blend| blend.share > 0.0) {
            nearest.blend(&blend, tag, &mut scratch.room, scores);
        }
        Ok(())
    }

    /// What an answer of a model costs: the mean of its answers to prompts with this tag if there were ten, otherwise of all.
    /// `None` if no cost is known, or no such model.
    pub fn expected_cost(&self, model: usize, tag: Option<&str>) -> Option<ExpectedCost> {
        let known = |figure: &Figure| {
            Some(ExpectedCost {
                cost: figure.cost?,
                answers: figure.costs,
            })
        };
        self.of_tag(model, tag)
            .and_then(known)
            .filter(|expected| expected.answers >= ENOUGH_OF_A_TAG)
            .or_else(|| self.figures.all.get(model).and_then(known))
    }

    /// How many tokens an answer of a model has, found as [`expected_cost`](Self::expected_cost) is. With a price list and the length of
    /// the prompt it is a cost at today's prices.
    pub fn expected_completion_tokens(&self, model: usize, tag: Option<&str>) -> Option<f64> {
        self.of_tag(model, tag)
            .filter(|figure| figure.lengths >= ENOUGH_OF_A_TAG)
            .and_then(|figure| figure.completion_tokens)
            .or_else(|| self.figures.all.get(model)?.completion_tokens)
    }

    fn of_tag(&self, model: usize, tag: Option<&str>) -> Option<&Figure> {
        self.figures.by_tag.get(self.tag_number(tag?)?)?.get(model)
    }

    pub(crate) fn tag_number(&self, tag: &str) -> Option<usize> {
        self.tags.binary_search_by(|known| known.as_str().cmp(tag)).ok()
    }
}

/// How long the table of places of one regression is.
pub(crate) const fn places_len(models: usize) -> usize {
    PLACES * (models + 1)
}

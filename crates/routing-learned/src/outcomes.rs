//! What came of prompts at models: what everything here is learnt from.

use std::collections::BTreeMap;
use std::sync::Arc;

use costing::Pico;
use routing::OutcomeRow;
use xxhash_rust::xxh3::xxh3_64;

use crate::LearnedError;
use crate::nearest::normalised;

/// The most models that outcomes may be of.
pub const MOST_MODELS: usize = 256;

/// The most numbers that a vector of a prompt may have.
pub const MOST_DIMENSIONS: usize = routing::MOST_OUTCOME_VECTOR;

/// One model's answer to one prompt, as a feedback or an evaluation tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The name of the request or prompt. Outcomes of the same prompt have the same name.
    pub id: String,
    /// What was asked; empty if it was not kept.
    pub prompt: String,
    /// What kind of request it was, in the caller's words: a task, a route, a customer's tag.
    pub tag: Option<String>,
    /// The model that answered.
    pub model: String,
    /// What came of it.
    pub result: Scored,
}

/// How good an answer was, and what it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// From 0 (useless) to 1 (right).
    pub score: f64,
    /// What it cost, without markup; `None` if that is not known.
    pub cost: Option<Pico>,
    /// Tokens read; `None` if that is not known.
    pub prompt_tokens: Option<u64>,
    /// Tokens written; `None` if that is not known.
    pub completion_tokens: Option<u64>,
    /// Milliseconds to the end of the answer; `None` if that is not known.
    pub latency_ms: Option<f64>,
    /// How probable the choice of this model was, if chance chose it: above 0, at most 1.
    pub propensity: Option<f64>,
}

impl Scored {
    /// A score of which nothing else is known.
    pub const fn new(score: f64) -> Self {
        Self {
            score,
            cost: None,
            prompt_tokens: None,
            completion_tokens: None,
            latency_ms: None,
            propensity: None,
        }
    }
}

/// A prompt with what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) tag: Option<String>,
    /// By model, in the order of [`Outcomes::models`]; shorter if the last models have none.
    pub(crate) cells: Vec<Option<Scored>>,
    /// At length 1. Shared, since prompts are copied wherever a part of them is taken.
    pub(crate) vector: Option<Arc<[f32]>>,
}

impl Prompt {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What was asked.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What kind of request it was.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Its vector at length 1, if it is known ([`Outcomes::add_vector`]).
    pub fn vector(&self) -> Option<&[f32]> {
        self.vector.as_deref()
    }

    /// What came of it at the model with this number; `None` if the model was not asked.
    pub fn of(&self, model: usize) -> Option<&Scored> {
        self.cells.get(model)?.as_ref()
    }
}

/// Outcomes by prompt and model. In which order they were added does not matter to anything that is learnt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcomes {
    models: Vec<String>,
    prompts: BTreeMap<String, Prompt>,
    /// The model that made the vectors, and how many numbers they have.
    embedding: Option<(String, usize)>,
}

impl Outcomes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one outcome.
    ///
    /// # Errors
    /// [`LearnedError::Score`] unless the score is from 0 to 1; [`LearnedError::OutOfRange`] for a latency or a propensity that
    /// none can be; [`LearnedError::Twice`], [`LearnedError::OtherPrompt`], [`LearnedError::TooMany`]. Nothing is added then.
    pub fn add(&mut self, outcome: Outcome) -> Result<(), LearnedError> {
        check(&outcome)?;
        let model = self.model_number(&outcome.model)?;
        let Outcome {
            id,
            prompt,
            tag,
            result,
            ..
        } = outcome;
        if let Some(known) = self.prompts.get(&id) {
            if known.text != prompt || known.tag != tag {
                return Err(LearnedError::OtherPrompt { id });
            }
            if known.of(model).is_some() {
                return Err(LearnedError::Twice {
                    id,
                    model: outcome.model,
                });
            }
        }
        if model == self.models.len() {
            self.models.push(outcome.model);
        }
        let known = self.prompts.entry(id.clone()).or_insert_with(|| Prompt {
            id,
            text: prompt,
            tag,
            cells: Vec::new(),
            vector: None,
        });
        if known.cells.len() <= model {
            known.cells.resize(model + 1, None);
        }
        if let Some(cell) = known.cells.get_mut(model) {
            *cell = Some(result);
        }
        Ok(())
    }

    /// Adds the outcomes of a row of a file. A row without a name is named by its prompt and task, so that the same question on
    /// two lines is the same prompt.
    ///
    /// # Errors
    /// As [`add`](Self::add). The outcomes before the one that is wrong are added.
    pub fn add_row(&mut self, row: OutcomeRow) -> Result<(), LearnedError> {
        let id = row
            .id
            .unwrap_or_else(|| name_of(&row.prompt, row.task.as_deref()));
        for (model, outcome) in row.outcomes {
            let propensity = row.propensity.filter(|_| row.chosen.as_ref() == Some(&model));
            self.add(Outcome {
                id: id.clone(),
                prompt: row.prompt.clone(),
                tag: row.task.clone(),
                model,
                result: Scored {
                    score: outcome.score,
                    cost: outcome.cost,
                    prompt_tokens: outcome.prompt_tokens,
                    completion_tokens: outcome.completion_tokens,
                    latency_ms: outcome.latency_ms,
                    propensity,
                },
            })?;
        }
        Ok(())
    }

    /// As [`add_row`](Self::add_row), with the row's vector if it has one, which is taken to be of this embedding model.
    ///
    /// # Errors
    /// As [`add`](Self::add) and [`add_vector`](Self::add_vector).
    pub fn add_embedded_row(&mut self, mut row: OutcomeRow, embedding: &str) -> Result<(), LearnedError> {
        let vector = row.embedding.take();
        let id = match &row.id {
            Some(id) => id.clone(),
            None => name_of(&row.prompt, row.task.as_deref()),
        };
        self.add_row(row)?;
        match vector.filter(|_| self.prompts.contains_key(&id)) {
            Some(vector) => self.add_vector(&id, embedding, &vector),
            None => Ok(()),
        }
    }

    /// Tells the vector of a prompt, as an embedding model has made it of its text. Its length does not matter, its direction does.
    ///
    /// # Errors
    /// [`LearnedError::Vector`] for a prompt that is not there or has another vector; unless the vector has from 1 to
    /// [`MOST_DIMENSIONS`] numbers, as many as all others, and not all of them 0; and for another embedding model than that of the others.
    pub fn add_vector(&mut self, id: &str, embedding: &str, vector: &[f32]) -> Result<(), LearnedError> {
        let wrong = |problem: String| LearnedError::Vector {
            id: id.to_owned(),
            problem,
        };
        if !(1..=MOST_DIMENSIONS).contains(&vector.len()) {
            return Err(wrong(format!(
                "must have from 1 to {MOST_DIMENSIONS} numbers, not {}",
                vector.len()
            )));
        }
        if let Some((known, dimensions)) = &self.embedding {
            if known != embedding {
                return Err(wrong(format!(
                    "is of '{embedding}', and those of other prompts are of '{known}'"
                )));
            }
            if *dimensions != vector.len() {
                return Err(wrong(format!(
                    "has {} numbers, and those of other prompts have {dimensions}",
                    vector.len()
                )));
            }
        }
        let mut unit = Vec::new();
        normalised(vector, &mut unit)
            .ok_or_else(|| wrong("must be of numbers that are not all 0".to_owned()))?;
        let prompt = self
            .prompts
            .get_mut(id)
            .ok_or_else(|| wrong("is of a prompt that is not there".to_owned()))?;
        if prompt.vector.as_deref().is_some_and(|known| known != unit) {
            return Err(wrong("is another than it had before".to_owned()));
        }
        prompt.vector = Some(unit.into());
        self.embedding
            .get_or_insert_with(|| (embedding.to_owned(), vector.len()));
        Ok(())
    }

    /// The model that made the vectors of prompts; `None` if none has one.
    pub fn embedding(&self) -> Option<&str> {
        self.embedding.as_ref().map(|(embedding, _)| embedding.as_str())
    }

    /// The models, in the order in which they were first seen.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// The prompts, by name.
    pub fn prompts(&self) -> impl ExactSizeIterator<Item = &Prompt> {
        self.prompts.values()
    }

    /// How many prompts there are.
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// How many prompts a model has answered.
    pub fn answered_by(&self, model: &str) -> usize {
        let Some(number) = self.models.iter().position(|known| known == model) else {
            return 0;
        };
        self.prompts()
            .filter(|prompt| prompt.of(number).is_some())
            .count()
    }

    /// The models that answered at least this share of the prompts, by name; with `priced`, of which the cost is known too.
    pub fn complete_models(&self, share: f64, priced: bool) -> Vec<String> {
        let needed = share * self.len() as f64;
        let mut complete: Vec<_> = (0..self.models.len())
            .filter(|model| {
                let counted = self
                    .prompts()
                    .filter_map(|prompt| prompt.of(*model))
                    .filter(|scored| !priced || scored.cost.is_some());
                counted.count() as f64 >= needed
            })
            .filter_map(|model| self.models.get(model).cloned())
            .collect();
        complete.sort();
        complete
    }

    /// The prompts that all of these models answered, of these models alone and in this order.
    ///
    /// # Errors
    /// [`LearnedError::UnknownModel`].
    pub fn only(&self, models: &[String]) -> Result<Self, LearnedError> {
        let numbers: Vec<usize> = models
            .iter()
            .map(|model| {
                let number = self.models.iter().position(|known| known == model);
                number.ok_or_else(|| LearnedError::UnknownModel(model.clone()))
            })
            .collect::<Result<_, _>>()?;
        let prompts = self.prompts().filter_map(|prompt| {
            let cells: Option<Vec<_>> = numbers
                .iter()
                .map(|number| prompt.of(*number).copied().map(Some))
                .collect();
            let kept = Prompt {
                cells: cells?,
                ..prompt.clone()
            };
            Some((kept.id.clone(), kept))
        });
        Ok(Self {
            prompts: prompts.collect(),
            models: models.to_vec(),
            embedding: self.embedding.clone(),
        })
    }

    /// The prompts for which this is true.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&Prompt) -> bool) -> Self {
        let kept = self.prompts.iter().filter(|(_, prompt)| keep(prompt));
        Self {
            models: self.models.clone(),
            prompts: kept.map(|(id, prompt)| (id.clone(), prompt.clone())).collect(),
            embedding: self.embedding.clone(),
        }
    }

    /// The number of a model, or the next free one.
    fn model_number(&self, model: &str) -> Result<usize, LearnedError> {
        let number = self.models.iter().position(|known| known == model);
        let number = number.unwrap_or(self.models.len());
        if number >= MOST_MODELS {
            return Err(LearnedError::TooMany {
                what: "models",
                most: MOST_MODELS,
                have: number + 1,
            });
        }
        Ok(number)
    }
}

fn check(outcome: &Outcome) -> Result<(), LearnedError> {
    let Scored {
        score,
        latency_ms,
        propensity,
        ..
    } = outcome.result;
    if !(0.0..=1.0).contains(&score) {
        return Err(LearnedError::Score {
            id: outcome.id.clone(),
            model: outcome.model.clone(),
            score,
        });
    }
    if let Some(value) = latency_ms.filter(|latency| !(latency.is_finite() && *latency >= 0.0)) {
        return Err(LearnedError::OutOfRange {
            what: "a latency in milliseconds",
            range: "0 or more",
            value,
        });
    }
    if let Some(value) = propensity.filter(|propensity| !(*propensity > 0.0 && *propensity <= 1.0)) {
        return Err(LearnedError::OutOfRange {
            what: "a propensity",
            range: "above 0 and at most 1",
            value,
        });
    }
    Ok(())
}

/// A name for a prompt that has none, by its text and tag.
pub fn name_of(prompt: &str, tag: Option<&str>) -> String {
    let tagged = [tag.unwrap_or_default(), prompt].join("\0");
    format!("{:016x}", xxh3_64(tagged.as_bytes()))
}

/// Which of `folds` parts a prompt belongs to. It is decided by its name alone, so that it stays there as prompts come and go.
pub fn fold(id: &str, folds: u64) -> u64 {
    xxh3_64(id.as_bytes()) % folds.max(1)
}

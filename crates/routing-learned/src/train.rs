//! Learning a [`Predictor`] from outcomes.

use costing::Pico;

use crate::features::{COUNTS, PLACES, Scratch};
use crate::held_out::Inputs;
use crate::metrics::is_routable;
use crate::nearest::{MOST_VECTOR_NUMBERS, MOST_VECTORS, Nearest, NearestSummary, Search, centres};
use crate::outcomes::{Outcomes, Prompt, fold};
use crate::predictor::{
    Figure, Figures, Head, HeadSummary, ModelSummary, Predictor, Scale, Summary, places_len,
};
use crate::prior::Prior;
use crate::rank::{Denoiser, ranks};
use crate::ridge::{Sparse, Targets, solve};
use crate::{LearnedError, file};

/// The fewest prompts that anything is learnt from.
pub const FEWEST_PROMPTS: usize = 30;

/// The most prompts.
pub const MOST_PROMPTS: usize = 1_000_000;

/// The most tags. More are a sign that the tag is a name.
pub const MOST_TAGS: usize = 1_000;

/// How a predictor is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// The strength of the penalty on weights: the higher, the closer predictions stay to the mean. Above 0. From 4 to 16 makes little
    /// difference on the sets of `docs/certified-routing.md`.
    pub penalty: f64,
    /// What is thought of models before any outcome.
    pub prior: Prior,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            penalty: 8.0,
            prior: Prior::bundled(),
        }
    }
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps that are done.
    pub done: u32,
    /// Steps in all.
    pub of: u32,
}

/// Parts of the cross-validation that finds the rank.
const FOLDS: u64 = 3;

/// Learns to predict the score of every model that has outcomes. Each regression is of what is left over the models' means,
/// which are drawn to the prior while outcomes are few; a tag's weight is drawn to zero by the same penalty, so a tag of few prompts says little.
///
/// The predictor is rounded as its file is, so that one read back predicts the same to the last bit. The order in which outcomes were
/// added makes no difference. `progress` is told after every step; to stop early, drop the thread.
///
/// # Errors
/// [`LearnedError::TooFew`] below [`FEWEST_PROMPTS`], without a model or with a model without outcomes; [`LearnedError::TooMany`];
/// [`LearnedError::OutOfRange`] for a penalty that is not above 0.
pub fn train(
    outcomes: &Outcomes,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Predictor, LearnedError> {
    train_for(outcomes, options, None, progress)
}

/// As [`train`]; with `inputs`, the regression alone that such predictions are made by.
pub(crate) fn train_for(
    outcomes: &Outcomes,
    options: &TrainOptions,
    inputs: Option<Inputs>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Predictor, LearnedError> {
    let Some(penalty) = Some(options.penalty).filter(|penalty| penalty.is_finite() && *penalty > 0.0) else {
        return Err(LearnedError::OutOfRange {
            what: "the penalty",
            range: "above 0",
            value: options.penalty,
        });
    };
    let data = Training::new(outcomes, options)?;
    let with_tags = !data.tags.is_empty() && inputs != Some(Inputs::Text);
    // A prompt without a tag is predicted by its words.
    let with_text = inputs != Some(Inputs::TextAndTag) || data.tag_of.contains(&None);
    let folds: Vec<u64> = data
        .prompts
        .iter()
        .map(|prompt| fold(&prompt.id, FOLDS))
        .collect();
    let vectors = data.vectors(outcomes)?;
    let heads = u32::from(with_tags) + u32::from(with_text);
    let of = (FOLDS as u32 + 1) * heads + if vectors.is_some() { FOLDS as u32 } else { 0 };
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(Progress { done, of });
    };
    let text = with_text
        .then(|| data.head(&folds, false, penalty as f32, &mut step))
        .transpose()?;
    let tagged = with_tags
        .then(|| data.head(&folds, true, penalty as f32, &mut step))
        .transpose()?;
    let nearest = vectors.map(|vectors| {
        let predicted = [&text, &tagged].map(|head| head.as_ref().map(|head| head.predicted.as_slice()));
        data.nearest(outcomes, vectors, &folds, predicted, penalty as f32, &mut step)
    });
    let (nearest, nearest_summary) = nearest.unzip();
    let (text, text_summary) = text.map_or_else(|| data.means(), |text| (text.head, text.summary));
    let (tagged, tagged_summary) = tagged.map(|tagged| (tagged.head, tagged.summary)).unzip();
    let models = data.models.iter().zip(&data.counted).map(|(model, counted)| {
        let summary = ModelSummary {
            outcomes: counted.n,
            mean_score: counted.mean(),
        };
        (model.clone(), summary)
    });
    let mut predictor = Predictor {
        summary: Summary {
            prompts: data.prompts.len() as u64,
            outcomes: data.counted.iter().map(|counted| counted.n).sum(),
            penalty,
            text: text_summary,
            tagged: tagged_summary,
            nearest: nearest_summary,
            models: models.collect(),
        },
        figures: data.figures(),
        models: data.models,
        tags: data.tags,
        scale: data.scale,
        text,
        tagged,
        nearest: nearest.flatten(),
    };
    file::round(&mut predictor);
    Ok(predictor)
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    n: u64,
    sum: f64,
}

impl Counted {
    fn mean(self) -> f64 {
        self.sum / self.n as f64
    }
}

/// A regression, and what it predicts of each prompt out of fold, less the means that it starts from.
struct Fitted {
    head: Head,
    summary: HeadSummary,
    predicted: Vec<f32>,
}

struct Training<'a> {
    prompts: Vec<&'a Prompt>,
    /// Sorted.
    models: Vec<String>,
    /// The number of each model in the outcomes.
    numbers: Vec<usize>,
    tags: Vec<String>,
    /// By prompt.
    tag_of: Vec<Option<usize>>,
    counted: Vec<Counted>,
    /// The means that regressions start from, by model.
    base: Vec<f32>,
    targets: Targets,
    scale: Scale,
    /// The rarity of each place that was seen, and its column; in the order of columns.
    seen: Vec<(u16, f32)>,
    /// Without tags: words, then counts.
    words: Sparse,
}

impl<'a> Training<'a> {
    fn new(outcomes: &'a Outcomes, options: &TrainOptions) -> Result<Self, LearnedError> {
        let prompts: Vec<&Prompt> = outcomes.prompts().collect();
        if prompts.len() < FEWEST_PROMPTS {
            return Err(LearnedError::TooFew {
                what: "training on prompts",
                needed: FEWEST_PROMPTS,
                have: prompts.len(),
            });
        }
        if prompts.len() > MOST_PROMPTS {
            return Err(LearnedError::TooMany {
                what: "prompts",
                most: MOST_PROMPTS,
                have: prompts.len(),
            });
        }
        let mut named: Vec<(String, usize)> = outcomes
            .models()
            .iter()
            .enumerate()
            .map(|(number, model)| (model.clone(), number))
            .collect();
        named.sort();
        let (models, numbers): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        let mut counted = vec![Counted::default(); models.len()];
        for prompt in &prompts {
            for (counted, number) in counted.iter_mut().zip(&numbers) {
                if let Some(scored) = prompt.of(*number) {
                    counted.n += 1;
                    counted.sum += scored.score;
                }
            }
        }
        if let Some((model, _)) = models.iter().zip(&counted).find(|(_, counted)| counted.n == 0) {
            return Err(LearnedError::UnknownModel(model.clone()));
        }
        let base: Vec<f32> = models
            .iter()
            .zip(&counted)
            .map(|(model, counted)| options.prior.mean(model, counted.n, counted.sum) as f32)
            .collect();
        let mut tags: Vec<String> = prompts.iter().filter_map(|prompt| prompt.tag.clone()).collect();
        tags.sort();
        tags.dedup();
        if tags.len() > MOST_TAGS {
            return Err(LearnedError::TooMany {
                what: "tags",
                most: MOST_TAGS,
                have: tags.len(),
            });
        }
        let tag_of = prompts
            .iter()
            .map(|prompt| tags.binary_search(prompt.tag.as_ref()?).ok())
            .collect();
        let values = prompts.iter().flat_map(|prompt| {
            numbers.iter().zip(&base).map(|(number, base)| {
                let scored = prompt.of(*number)?;
                Some(scored.score as f32 - base)
            })
        });
        let targets = Targets {
            models: models.len(),
            values: values.collect(),
        };
        let (scale, seen, words) = read(&prompts);
        Ok(Self {
            prompts,
            models,
            numbers,
            tags,
            tag_of,
            counted,
            base,
            targets,
            scale,
            seen,
            words,
        })
    }

    /// One regression, and how it did.
    fn head(
        &self,
        folds: &[u64],
        with_tags: bool,
        penalty: f32,
        step: &mut dyn FnMut(),
    ) -> Result<Fitted, LearnedError> {
        let models = self.models.len();
        let with_tags_added = with_tags.then(|| self.with_tags());
        let features = with_tags_added.as_ref().unwrap_or(&self.words);
        let mut predicted = vec![0.0f32; self.prompts.len() * models];
        for part in 0..FOLDS {
            let rows: Vec<usize> = (0..folds.len()).filter(|row| folds[*row] != part).collect();
            let weights = solve(features, &self.targets, &rows, penalty);
            for row in (0..folds.len()).filter(|row| folds[*row] == part) {
                features.add_row_times(row, &weights, &mut predicted[row * models..(row + 1) * models]);
            }
            step();
        }
        let all: Vec<usize> = (0..folds.len()).collect();
        let mut weights = solve(features, &self.targets, &all, penalty);
        step();

        let denoiser = Denoiser::of(&predicted, models);
        let error = |rank: Option<usize>| {
            let mut sum = 0.0;
            let mut n = 0u64;
            let mut row = vec![0.0; models];
            for (predicted, targets) in predicted
                .chunks_exact(models)
                .zip(self.targets.values.chunks_exact(models))
            {
                row.copy_from_slice(predicted);
                if let Some(rank) = rank {
                    denoiser.denoise(&mut row, rank);
                }
                for (predicted, target) in row.iter().zip(targets) {
                    if let Some(target) = target {
                        sum += f64::from(predicted - target).powi(2);
                        n += 1;
                    }
                }
            }
            sum / n as f64
        };
        let mut best = (error(None), None);
        for rank in ranks(models) {
            let found = error(Some(rank));
            if found < best.0 {
                best = (found, Some(rank));
            }
        }
        let (squared_error, rank) = best;
        if let Some(rank) = rank {
            for row in predicted.chunks_exact_mut(models) {
                denoiser.denoise(row, rank);
            }
        }
        let known = self.targets.values.iter().flatten();
        let squares: f64 = known.clone().map(|target| f64::from(*target).powi(2)).sum();
        let mut base = self.base.clone();
        if let Some(rank) = rank {
            denoiser.project(&mut weights, rank);
            let constant = denoiser.constant(rank);
            for (base, constant) in base.iter_mut().zip(constant) {
                *base += constant;
            }
        }
        let summary = HeadSummary {
            rank: rank.and_then(|rank| u32::try_from(rank).ok()),
            squared_error,
            squared_error_of_means: squares / known.count() as f64,
            routable: self.is_routable(
                predicted
                    .chunks_exact(models)
                    .zip(self.targets.values.chunks_exact(models)),
            ),
        };
        Ok(Fitted {
            head: self.laid_out(base, &weights, with_tags),
            summary,
            predicted,
        })
    }

    /// Whether predictions of prompts that were not learnt from tell any model from the best one.
    fn is_routable<'r>(&self, rows: impl Iterator<Item = (&'r [f32], &'r [Option<f32>])> + Clone) -> bool {
        let models = self.models.len();
        let best = (0..models).fold(0, |best, model| {
            if self.counted[model].mean() > self.counted[best].mean() {
                model
            } else {
                best
            }
        });
        (0..models).filter(|model| *model != best).any(|model| {
            let (order, gains): (Vec<f32>, Vec<f64>) = rows
                .clone()
                .filter_map(|(predicted, targets)| {
                    let base = self.base[best] - self.base[model];
                    let gain = targets[best]? - targets[model]? + base;
                    Some((predicted[best] - predicted[model] + base, f64::from(gain)))
                })
                .unzip();
            order.len() >= FEWEST_PROMPTS && is_routable(&order, &gains)
        })
    }

    /// The prompts that have vectors; `None` if there is no vector.
    fn vectors(&self, outcomes: &Outcomes) -> Result<Option<Vec<usize>>, LearnedError> {
        if outcomes.embedding().is_none() {
            return Ok(None);
        }
        let known = |row: &usize| self.prompts[*row].vector().is_some();
        let rows: Vec<usize> = (0..self.prompts.len()).filter(known).collect();
        let numbers = rows.first().map_or(0, |row| {
            rows.len() * self.prompts[*row].vector().map_or(0, <[f32]>::len)
        });
        if rows.len() < FEWEST_PROMPTS {
            return Err(LearnedError::TooFew {
                what: "learning from vectors of prompts",
                needed: FEWEST_PROMPTS,
                have: rows.len(),
            });
        }
        for (what, most, have) in [
            ("prompts with vectors", MOST_VECTORS, rows.len()),
            ("numbers in vectors", MOST_VECTOR_NUMBERS, numbers),
        ] {
            if have > most {
                return Err(LearnedError::TooMany { what, most, have });
            }
        }
        Ok(Some(rows))
    }

    /// What the vectors of these prompts add to the regressions on words and on tag and words, of which `predicted` is what they predict.
    fn nearest(
        &self,
        outcomes: &Outcomes,
        of: Vec<usize>,
        folds: &[u64],
        predicted: [Option<&[f32]>; 2],
        penalty: f32,
        step: &mut dyn FnMut(),
    ) -> (Option<Nearest>, NearestSummary) {
        let models = self.models.len();
        let vectors = of
            .iter()
            .filter_map(|row| self.prompts[*row].vector())
            .collect::<Vec<_>>();
        let mut nearest = Nearest {
            dimensions: vectors.first().map_or(0, |vector| vector.len()),
            vectors: vectors.concat(),
            // There are no more than a thousand tags.
            tags: of
                .iter()
                .map(|row| self.tag_of[*row].map_or(0, |tag| tag as u16 + 1))
                .collect(),
            scores: of
                .iter()
                .flat_map(|row| {
                    let of_row = |number: &usize| Some(self.prompts[*row].of(*number)?.score as f32);
                    self.numbers.iter().map(of_row)
                })
                .collect(),
            centres: Vec::new(),
        };
        let folds: Vec<u64> = of.iter().map(|row| folds[*row]).collect();
        let order: Vec<u64> = of
            .iter()
            .map(|row| fold(&self.prompts[*row].id, u64::MAX))
            .collect();
        let centres_of = |nearest: &Nearest, rows: &mut dyn Iterator<Item = usize>| {
            centres(nearest, &self.base, self.tags.len(), penalty, rows)
        };
        let search = Search::new(
            &nearest,
            &folds,
            FOLDS,
            &order,
            &|rows| centres_of(&nearest, rows),
            step,
        );
        let [text, tagged] = [(predicted[0], false), (predicted[1], true)].map(|(predicted, with_tags)| {
            let prompts = || search.queries.iter().map(|row| of[*row]);
            let predicted = predicted?;
            let words: Vec<f32> = prompts()
                .flat_map(|row| {
                    let predicted = &predicted[row * models..(row + 1) * models];
                    let score = |(predicted, base): (&f32, &f32)| (predicted + base).clamp(0.0, 1.0);
                    predicted.iter().zip(&self.base).map(score)
                })
                .collect();
            let (mut blend, mut with) = search.best(&words, with_tags);
            for row in with.chunks_exact_mut(models) {
                for (score, base) in row.iter_mut().zip(&self.base) {
                    *score -= base;
                }
            }
            let targets = prompts().map(|row| &self.targets.values[row * models..(row + 1) * models]);
            blend.routable = self.is_routable(with.chunks_exact(models).zip(targets));
            Some(blend)
        });
        let summary = NearestSummary {
            embedding: outcomes.embedding().unwrap_or_default().to_owned(),
            dimensions: nearest.dimensions as u32,
            vectors: of.len() as u64,
            text,
            tagged,
        };
        nearest.centres = centres_of(&nearest, &mut (0..of.len()));
        (summary.is_used().then_some(nearest), summary)
    }

    /// Means, and nothing of the prompt.
    fn means(&self) -> (Head, HeadSummary) {
        let head = Head {
            base: self.base.clone(),
            places: Vec::new(),
            counts: Vec::new(),
            tags: Vec::new(),
        };
        let known = self.targets.values.iter().flatten();
        let squares: f64 = known.clone().map(|target| f64::from(*target).powi(2)).sum();
        let error = squares / known.count() as f64;
        let summary = HeadSummary {
            rank: None,
            squared_error: error,
            squared_error_of_means: error,
            routable: false,
        };
        (head, summary)
    }

    /// Weights by column as they are used: by place, with its rarity.
    fn laid_out(&self, base: Vec<f32>, weights: &[f32], with_tags: bool) -> Head {
        let models = self.models.len();
        let mut places = vec![0.0; places_len(models)];
        // What was never seen is as rare as can be.
        let rarest = rarity(0, self.prompts.len()).powi(2);
        for row in places.chunks_exact_mut(models + 1) {
            row[0] = rarest;
        }
        for ((place, rarity), weights) in self.seen.iter().zip(weights.chunks_exact(models)) {
            let start = usize::from(*place) * (models + 1);
            places[start] = rarity * rarity;
            for (to, weight) in places[start + 1..=start + models].iter_mut().zip(weights) {
                *to = rarity * weight;
            }
        }
        let counts = self.seen.len() * models;
        let tags = counts + COUNTS * models;
        Head {
            base,
            places,
            counts: weights[counts..tags].to_vec(),
            tags: if with_tags {
                weights[tags..].to_vec()
            } else {
                Vec::new()
            },
        }
    }

    /// The words with a column for each tag.
    fn with_tags(&self) -> Sparse {
        let first = self.words.width;
        let mut features = Sparse::new(first + self.tags.len());
        for (row, tag) in self.tag_of.iter().enumerate() {
            let words = self.words.row(row).map(|(column, value)| (column as u32, value));
            let tag = tag.map(|tag| ((first + tag) as u32, 1.0));
            features.push(words.chain(tag));
        }
        features
    }

    fn figures(&self) -> Figures {
        let mut all = vec![Sums::default(); self.models.len()];
        let mut by_tag = vec![all.clone(); self.tags.len()];
        for (prompt, tag) in self.prompts.iter().zip(&self.tag_of) {
            for (model, number) in self.numbers.iter().enumerate() {
                let Some(scored) = prompt.of(*number) else {
                    continue;
                };
                let of_tag = tag.and_then(|tag| by_tag.get_mut(tag)?.get_mut(model));
                for sums in all.get_mut(model).into_iter().chain(of_tag) {
                    if let Some(cost) = scored.cost {
                        sums.costs += 1;
                        sums.cost += i128::from(cost.get());
                    }
                    if let Some(tokens) = scored.completion_tokens {
                        sums.lengths += 1;
                        sums.tokens += u128::from(tokens);
                    }
                }
            }
        }
        let figures = |sums: Vec<Sums>| sums.into_iter().map(Sums::figure).collect();
        Figures {
            all: figures(all),
            by_tag: by_tag.into_iter().map(figures).collect(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    costs: u64,
    cost: i128,
    lengths: u64,
    tokens: u128,
}

impl Sums {
    fn figure(self) -> Figure {
        let mean = self.cost.checked_div(i128::from(self.costs));
        Figure {
            costs: self.costs,
            cost: mean.and_then(|mean| i64::try_from(mean).ok()).map(Pico::new),
            lengths: self.lengths,
            completion_tokens: (self.lengths > 0).then(|| self.tokens as f64 / self.lengths as f64),
        }
    }
}

/// How much a word counts that is in `known` of `all` prompts: the square root of its inverse document frequency.
fn rarity(known: u32, all: usize) -> f32 {
    ((all as f32 + 1.0) / (known as f32 + 1.0)).ln().max(1e-3).sqrt()
}

/// Words and counts of all prompts, each prompt's words scaled to length 1.
fn read(prompts: &[&Prompt]) -> (Scale, Vec<(u16, f32)>, Sparse) {
    let mut scratch = Scratch::new();
    let mut known = vec![0u32; PLACES];
    let mut places = Vec::new();
    let mut ends = Vec::new();
    let mut counts = Vec::new();
    for prompt in prompts {
        scratch.read(&prompt.text);
        for place in &scratch.places {
            known[usize::from(*place)] += 1;
        }
        places.extend_from_slice(&scratch.places);
        ends.push(places.len());
        counts.push(scratch.counts);
    }
    let scale = scale(&counts);
    let mut column = vec![0u32; PLACES];
    let mut seen = Vec::new();
    for (place, known) in known.iter().enumerate().filter(|(_, known)| **known > 0) {
        column[place] = seen.len() as u32;
        seen.push((place as u16, rarity(*known, prompts.len())));
    }
    let mut words = Sparse::new(seen.len() + COUNTS);
    let mut start = 0;
    for (end, counts) in ends.into_iter().zip(&counts) {
        let columns = places[start..end].iter().map(|place| column[usize::from(*place)]);
        let length: f32 = columns
            .clone()
            .map(|column| seen[column as usize].1.powi(2))
            .sum();
        let one_over = if length > 0.0 { length.sqrt().recip() } else { 0.0 };
        let words_of = columns.map(|column| (column, seen[column as usize].1 * one_over));
        let counts_of = (0..).map(|i| seen.len() as u32 + i).zip(scale.scaled(counts));
        words.push(words_of.chain(counts_of));
        start = end;
    }
    (scale, seen, words)
}

fn scale(counts: &[[f32; COUNTS]]) -> Scale {
    let n = counts.len() as f64;
    let mean: [f64; COUNTS] =
        std::array::from_fn(|i| counts.iter().map(|counts| f64::from(counts[i])).sum::<f64>() / n);
    let deviation = std::array::from_fn(|i| {
        let squares = counts
            .iter()
            .map(|counts| (f64::from(counts[i]) - mean[i]).powi(2));
        // A count that is always the same says nothing, and must not be divided by nothing.
        (squares.sum::<f64>() / n).sqrt().max(1e-6) as f32
    });
    Scale {
        mean: mean.map(|mean| mean as f32),
        deviation,
    }
}

//! Predictions from the prompts whose vectors are nearest.
//!
//! What a model scored on the nearest prompts by cosine similarity, weighed by it, says how far the model is from its own mean there (or from
//! its mean on their tag). That is drawn to nothing by a strength, so that few or far neighbours say little, and is mixed with what the words
//! say. How many neighbours, how strongly and with which share is found by cross-validation (Cover and Hart 1967, *IEEE Trans. Inf. Theory*
//! 13:21). They are left out where they are no better than words beyond chance.

use serde::{Deserialize, Serialize};

use crate::outcomes::MOST_DIMENSIONS;

/// The most prompts whose vectors a predictor keeps.
pub const MOST_VECTORS: usize = 100_000;

/// The most numbers that all vectors of a predictor have: 100,000 of 480 each, or 31,250 of 1,536.
pub const MOST_VECTOR_NUMBERS: usize = 48_000_000;

/// So many bytes of a prompt are embedded: as many tokens at the most, which embedding models take.
const EMBEDDED: usize = 8_000;

/// The part of a prompt that its vector is of: the first 8,000 bytes, to a whole character. Whoever asks for vectors asks for those of this
/// part, so that training and traffic are alike.
pub fn embedded_part(prompt: &str) -> &str {
    let end = prompt.len().min(EMBEDDED);
    // A character has four bytes at the most.
    let ends = (end.saturating_sub(3)..=end).rev();
    ends.filter_map(|end| prompt.get(..end))
        .next()
        .unwrap_or_default()
}

/// How many neighbours are tried, in order.
const NEIGHBOURS: [usize; 6] = [5, 10, 20, 50, 100, 200];
const MOST_NEIGHBOURS: usize = 200;

/// Strengths that are tried: so many neighbours at similarity 1 are as good as what was believed without them.
const STRENGTHS: [f32; 5] = [0.3, 1.0, 3.0, 10.0, 30.0];

/// Shares of the prediction that are tried.
const SHARES: [f32; 4] = [0.25, 0.5, 0.75, 1.0];

/// The neighbours of no more prompts than this are looked for in cross-validation: the search is by each against all.
const MOST_QUERIES: usize = 4_000;

/// By so many standard errors neighbours must be better than words alone: each live prediction with them costs a call.
const CLEARLY: f64 = 2.0;

/// What neighbours add to one regression, as cross-validation has found it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlendSummary {
    /// How many neighbours are asked, from 1 to 200.
    pub neighbours: u32,
    /// How strongly they are drawn to the model's mean: above 0.
    pub strength: f32,
    /// Their share of the prediction, at most 1; 0 where they are no better than words alone, and are not asked.
    pub share: f32,
    /// The mean squared error of the prediction with them, by cross-validation.
    pub squared_error: f64,
    /// That of the same prompts without them.
    pub squared_error_of_words: f64,
    /// As [`HeadSummary::routable`](crate::HeadSummary::routable), with them.
    pub routable: bool,
}

impl BlendSummary {
    pub(crate) fn is_sound(&self) -> bool {
        (1..=MOST_NEIGHBOURS).contains(&(self.neighbours as usize))
            && self.strength > 0.0
            && self.strength <= 1e6
            && (0.0..=1.0).contains(&self.share)
    }
}

/// What vectors add to a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearestSummary {
    /// The model that made the vectors.
    pub embedding: String,
    /// How many numbers each has.
    pub dimensions: u32,
    /// How many prompts have one.
    pub vectors: u64,
    /// What they add where a prompt has no known tag; `None` if that was not looked at.
    pub text: Option<BlendSummary>,
    /// What they add where it has one; `None` if no prompt had a tag.
    pub tagged: Option<BlendSummary>,
}

impl NearestSummary {
    /// Whether neighbours are asked at all.
    pub fn is_used(&self) -> bool {
        [self.text, self.tagged]
            .into_iter()
            .flatten()
            .any(|blend| blend.share > 0.0)
    }

    pub(crate) fn is_sound(&self) -> bool {
        let (dimensions, vectors) = (self.dimensions as usize, self.vectors);
        (1..=MOST_DIMENSIONS).contains(&dimensions)
            && (1..=MOST_VECTORS as u64).contains(&vectors)
            && vectors <= (MOST_VECTOR_NUMBERS / dimensions) as u64
            && [self.text, self.tagged]
                .iter()
                .flatten()
                .all(BlendSummary::is_sound)
    }
}

/// Prompts with vectors, and what their models scored. The rows are in the order of their names, so that of equals the first by name is
/// nearer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Nearest {
    pub(crate) dimensions: usize,
    /// Row after row, each of length 1.
    pub(crate) vectors: Vec<f32>,
    /// By row: 0 without a tag, otherwise one more than its number.
    pub(crate) tags: Vec<u16>,
    /// Row after row, by model; `None` where a model was not asked.
    pub(crate) scores: Vec<Option<f32>>,
    /// Mean scores by model: of all, then by tag.
    pub(crate) centres: Vec<f32>,
}

/// A neighbour: how similar, and which row.
type Neighbour = (f32, u32);

/// Room that a search uses again and again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room {
    /// The vector that is asked for, of length 1.
    pub(crate) query: Vec<f32>,
    found: Vec<Neighbour>,
    scores: Vec<f32>,
    weights: Vec<f32>,
}

impl Nearest {
    pub(crate) const fn rows(&self) -> usize {
        self.tags.len()
    }

    /// Mixes what neighbours of `room.query` say into what words said. `tag` is that of the query, where the regression on tags was used.
    pub(crate) fn blend(
        &self,
        blend: &BlendSummary,
        tag: Option<usize>,
        room: &mut Room,
        scores: &mut [f32],
    ) {
        let Room {
            query,
            found,
            scores: own,
            weights,
        } = room;
        search(
            &self.vectors,
            query,
            blend.neighbours as usize,
            0..self.rows(),
            found,
        );
        own.clear();
        own.resize(scores.len(), 0.0);
        let asked = Asked {
            nearest: self,
            centres: &self.centres,
            tag,
            strength: blend.strength,
        };
        asked.predict(found, weights, own);
        for (score, own) in scores.iter_mut().zip(own) {
            *score = mixed(*score, *own, blend.share);
        }
    }
}

fn mixed(words: f32, neighbours: f32, share: f32) -> f32 {
    (words + share * (neighbours - words)).clamp(0.0, 1.0)
}

/// What neighbours are held against.
struct Asked<'a> {
    nearest: &'a Nearest,
    centres: &'a [f32],
    tag: Option<usize>,
    strength: f32,
}

impl Asked<'_> {
    /// The scores that these neighbours speak for.
    fn predict(&self, found: &[Neighbour], weights: &mut Vec<f32>, scores: &mut [f32]) {
        let models = scores.len();
        let centre = |place: usize| &self.centres[place * models..(place + 1) * models];
        scores.fill(0.0);
        weights.clear();
        weights.resize(models, self.strength);
        for (similarity, row) in found {
            let row = *row as usize;
            let weight = similarity.max(0.0);
            // Without a tag of its own a prompt cannot tell how a neighbour is for its tag.
            let of_row = centre(if self.tag.is_some() {
                usize::from(self.nearest.tags[row])
            } else {
                0
            });
            let known = &self.nearest.scores[row * models..(row + 1) * models];
            for model in 0..models {
                if let Some(known) = known[model] {
                    scores[model] += weight * (known - of_row[model]);
                    weights[model] += weight;
                }
            }
        }
        let own = centre(self.tag.map_or(0, |tag| tag + 1));
        for ((score, weight), centre) in scores.iter_mut().zip(weights).zip(own) {
            *score = (centre + *score / *weight).clamp(0.0, 1.0);
        }
    }
}

/// The rows most like the query, the nearest first; of equals the first row. No more room is made than for `k`.
fn search(
    vectors: &[f32],
    query: &[f32],
    k: usize,
    rows: impl Iterator<Item = usize>,
    found: &mut Vec<Neighbour>,
) {
    let dimensions = query.len();
    found.clear();
    found.reserve(k);
    for row in rows {
        let Some(vector) = vectors.get(row * dimensions..(row + 1) * dimensions) else {
            return;
        };
        let similarity = dot(query, vector);
        if found.len() == k {
            // Rows come in their order, so that one as near as the last comes after it.
            if found.last().is_none_or(|last| similarity <= last.0) {
                continue;
            }
            found.pop();
        }
        let place = found.partition_point(|nearer| nearer.0 >= similarity);
        found.insert(place, (similarity, row as u32));
    }
}

/// In lanes, so that the sum is the same everywhere and as quick as it can be.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// A vector at length 1; `None` unless it is one: numbers, and not all of them 0.
pub(crate) fn normalised(vector: &[f32], to: &mut Vec<f32>) -> Option<()> {
    to.clear();
    let squares: f64 = vector.iter().map(|number| f64::from(*number).powi(2)).sum();
    let length = squares.sqrt();
    if !length.is_finite() || length <= 0.0 {
        return None;
    }
    to.extend(vector.iter().map(|number| (f64::from(*number) / length) as f32));
    Some(())
}

/// Whether a vector is of length 1, as far as numbers of its kind can be.
pub(crate) fn is_of_length_one(vector: &[f32]) -> bool {
    let squares: f64 = vector.iter().map(|number| f64::from(*number).powi(2)).sum();
    (squares - 1.0).abs() <= 1e-4
}

/// Mean scores by model of these rows, of all and by tag. A tag's mean is drawn to that of all by as many labels as the penalty says, as
/// a regression on the tag draws it.
pub(crate) fn centres(
    nearest: &Nearest,
    base: &[f32],
    tags: usize,
    penalty: f32,
    rows: impl Iterator<Item = usize>,
) -> Vec<f32> {
    let models = base.len();
    let mut sums = vec![0.0f64; (tags + 1) * models];
    let mut counts = vec![f64::from(penalty); sums.len()];
    for row in rows {
        let place = usize::from(nearest.tags[row]) * models;
        let known = &nearest.scores[row * models..(row + 1) * models];
        for (model, known) in known.iter().enumerate() {
            if let Some(known) = known {
                sums[place + model] += f64::from(known - base[model]);
                counts[place + model] += 1.0;
            }
        }
    }
    // Where a row has no tag it is held against all, whose means are known already.
    sums[..models].fill(0.0);
    sums.iter()
        .zip(&counts)
        .zip(base.iter().cycle())
        .map(|((sum, count), base)| (base + (sum / count) as f32).clamp(0.0, 1.0))
        .collect()
}

/// What cross-validation looks at.
pub(crate) struct Search<'a> {
    nearest: &'a Nearest,
    /// The part that each row is in.
    folds: &'a [u64],
    /// The rows whose neighbours were looked for.
    pub(crate) queries: Vec<usize>,
    /// Those of one query after the other, all from other parts than its own.
    found: Vec<Vec<Neighbour>>,
    /// Means by part, of the rows of the other parts.
    centres: Vec<Vec<f32>>,
}

impl<'a> Search<'a> {
    /// Looks for the neighbours of prompts in the parts that they are not in. `order` says which rows come first where there are too many;
    /// `step` is called after each part.
    pub(crate) fn new(
        nearest: &'a Nearest,
        folds: &'a [u64],
        parts: u64,
        order: &[u64],
        centres_of: &dyn Fn(&mut dyn Iterator<Item = usize>) -> Vec<f32>,
        step: &mut dyn FnMut(),
    ) -> Self {
        let mut queries: Vec<usize> = (0..nearest.rows()).collect();
        if queries.len() > MOST_QUERIES {
            queries.sort_by_key(|row| (order[*row], *row));
            queries.truncate(MOST_QUERIES);
            queries.sort_unstable();
        }
        let mut found = vec![Vec::new(); queries.len()];
        let mut centres = Vec::new();
        for part in 0..parts {
            let others: Vec<usize> = (0..nearest.rows()).filter(|row| folds[*row] != part).collect();
            centres.push(centres_of(&mut others.iter().copied()));
            for (row, found) in queries.iter().zip(&mut found) {
                if folds[*row] == part {
                    let query = &nearest.vectors[row * nearest.dimensions..(row + 1) * nearest.dimensions];
                    search(
                        &nearest.vectors,
                        query,
                        MOST_NEIGHBOURS,
                        others.iter().copied(),
                        found,
                    );
                }
            }
            step();
        }
        Self {
            nearest,
            folds,
            queries,
            found,
            centres,
        }
    }

    fn predict(&self, query: usize, k: usize, strength: f32, with_tags: bool, scores: &mut [f32]) {
        let row = self.queries[query];
        let tag = usize::from(self.nearest.tags[row]).checked_sub(1);
        let asked = Asked {
            nearest: self.nearest,
            centres: &self.centres[self.folds[row] as usize],
            tag: tag.filter(|_| with_tags),
            strength,
        };
        let found = &self.found[query];
        asked.predict(&found[..k.min(found.len())], &mut Vec::new(), scores);
    }

    /// The best of what was tried, and what it predicts of each query, row after row. `words` is what the regression predicts of the same
    /// prompts, out of fold.
    pub(crate) fn best(&self, words: &[f32], with_tags: bool) -> (BlendSummary, Vec<f32>) {
        let models = words.len() / self.queries.len().max(1);
        let scores_of = |query: usize| {
            let row = self.queries[query];
            &self.nearest.scores[row * models..(row + 1) * models]
        };
        let words_of = |query: usize| &words[query * models..(query + 1) * models];
        let squares = |query: usize, predicted: &dyn Fn(usize) -> f32| -> f64 {
            let known = scores_of(query).iter().enumerate();
            known
                .filter_map(|(model, known)| Some(f64::from(predicted(model) - (*known)?).powi(2)))
                .sum()
        };
        let outcomes: usize = (0..self.queries.len())
            .map(|query| scores_of(query).iter().flatten().count())
            .sum();
        let without: Vec<f64> = (0..self.queries.len())
            .map(|query| squares(query, &|model| words_of(query)[model]))
            .collect();
        let error_without = without.iter().sum::<f64>() / outcomes as f64;
        let mut best = BlendSummary {
            neighbours: 1,
            strength: 1.0,
            share: 0.0,
            squared_error: error_without,
            squared_error_of_words: error_without,
            routable: false,
        };
        let mut own = vec![0.0; models];
        for k in NEIGHBOURS {
            for strength in STRENGTHS {
                let mut gains = [(0.0, 0.0); SHARES.len()];
                for (query, without) in without.iter().enumerate() {
                    self.predict(query, k, strength, with_tags, &mut own);
                    let words = words_of(query);
                    for ((sum, squared), share) in gains.iter_mut().zip(SHARES) {
                        let gain = without - squares(query, &|model| mixed(words[model], own[model], share));
                        *sum += gain;
                        *squared += gain * gain;
                    }
                }
                for ((sum, squared), share) in gains.into_iter().zip(SHARES) {
                    let n = self.queries.len() as f64;
                    let variance = (squared / n - (sum / n).powi(2)).max(0.0);
                    let error = error_without - sum / outcomes as f64;
                    if sum > CLEARLY * (n * variance).sqrt() && error < best.squared_error {
                        best.neighbours = k as u32;
                        best.strength = strength;
                        best.share = share;
                        best.squared_error = error;
                    }
                }
            }
        }
        let mut predicted = words.to_vec();
        if best.share > 0.0 {
            for (query, row) in predicted.chunks_exact_mut(models).enumerate() {
                self.predict(
                    query,
                    best.neighbours as usize,
                    best.strength,
                    with_tags,
                    &mut own,
                );
                for (score, own) in row.iter_mut().zip(&own) {
                    *score = mixed(*score, *own, best.share);
                }
            }
        }
        (best, predicted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few different numbers, so that many rows are equally near.
    fn vectors(rows: usize, dimensions: usize, seed: u64) -> Vec<f32> {
        let mut all = Vec::new();
        let mut unit = Vec::new();
        for row in 0..rows {
            let numbers: Vec<f32> = (0..dimensions)
                .map(|place| {
                    let hash = xxhash_rust::xxh3::xxh3_64(format!("{seed} {row} {place}").as_bytes());
                    (hash % 3) as f32 - 1.0
                })
                .collect();
            if normalised(&numbers, &mut unit).is_none() {
                unit = vec![1.0 / (dimensions as f32).sqrt(); dimensions];
            }
            all.extend_from_slice(&unit);
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_nearest_are_those_of_a_sorted_list(
            rows in 0..120usize, dimensions in 1..40usize, k in 1..30usize, seed in any::<u64>(), every in 1..4usize,
        ) {
            let all = vectors(rows, dimensions, seed);
            let query = vectors(1, dimensions, seed ^ 1);
            let mut found = vec![(9.0, 9)];
            search(&all, &query, k, (0..rows).step_by(every), &mut found);
            let mut sorted: Vec<Neighbour> = (0..rows)
                .step_by(every)
                .map(|row| (dot(&query, &all[row * dimensions..(row + 1) * dimensions]), row as u32))
                .collect();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            sorted.truncate(k);
            prop_assert_eq!(found, sorted);
        }

        #[test]
        fn lanes_add_up_to_the_sum(numbers in prop::collection::vec((-1.0..1.0f32, -1.0..1.0f32), 0..100)) {
            let (a, b): (Vec<f32>, Vec<f32>) = numbers.iter().copied().unzip();
            let plain: f64 = numbers.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - plain).abs() < 1e-4);
        }

        /// Straight from what is said of it, in wider numbers.
        #[test]
        fn a_blend_is_what_it_says(
            rows in 1..60usize, k in 1..20u32, strength in 0.1..10.0f32, share in 0.0..=1.0f32, seed in 0..1_000u64, tag in 0..3usize,
        ) {
            let (dimensions, models) = (5, 2);
            let number = |what: &str, at: usize| {
                let hash = xxhash_rust::xxh3::xxh3_64(format!("{what} {seed} {at}").as_bytes());
                (hash % 1_001) as f32 / 1_000.0
            };
            let nearest = Nearest {
                dimensions,
                vectors: vectors(rows, dimensions, seed),
                tags: (0..rows).map(|row| (number("tag", row) * 2.99) as u16).collect(),
                scores: (0..rows * models)
                    .map(|at| (number("asked", at) > 0.3).then(|| number("score", at)))
                    .collect(),
                centres: (0..3 * models).map(|at| number("centre", at)).collect(),
            };
            let blend = BlendSummary {
                neighbours: k, strength, share, squared_error: 0.0, squared_error_of_words: 0.0, routable: false,
            };
            let mut room = Room { query: vectors(1, dimensions, seed + 1), ..Room::default() };
            let query = room.query.clone();
            let words = [0.25_f32, 0.75];
            let mut scores = words;
            let tag = tag.checked_sub(1);
            nearest.blend(&blend, tag, &mut room, &mut scores);

            let similar = |row: usize| dot(&query, &nearest.vectors[row * dimensions..(row + 1) * dimensions]);
            let mut order: Vec<usize> = (0..rows).collect();
            order.sort_by(|a, b| similar(*b).total_cmp(&similar(*a)).then(a.cmp(b)));
            order.truncate(k as usize);
            for model in 0..models {
                let centre = |place: usize| f64::from(nearest.centres[place * models + model]);
                let (mut sum, mut weights) = (0.0, f64::from(strength));
                for row in &order {
                    let weight = f64::from(similar(*row).max(0.0));
                    let place = if tag.is_some() { usize::from(nearest.tags[*row]) } else { 0 };
                    if let Some(score) = nearest.scores[row * models + model] {
                        sum += weight * (f64::from(score) - centre(place));
                        weights += weight;
                    }
                }
                let own = (centre(tag.map_or(0, |tag| tag + 1)) + sum / weights).clamp(0.0, 1.0);
                let words = f64::from(words[model]);
                let expected = words + f64::from(share) * (own - words);
                prop_assert!((f64::from(scores[model]) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_long_prompt_is_embedded_by_its_beginning() {
        assert_eq!(embedded_part("short"), "short");
        assert_eq!(embedded_part(&"é".repeat(8_000)).len(), 8_000);
        assert_eq!(embedded_part(&format!("a{}", "é".repeat(8_000))).len(), 7_999);
    }

    #[test]
    fn a_tag_of_few_labels_stays_near_the_mean() {
        let nearest = Nearest {
            dimensions: 1,
            vectors: vec![1.0; 3],
            tags: vec![1, 1, 0],
            scores: vec![Some(1.0), None, Some(0.0)],
            centres: Vec::new(),
        };
        // One label against the penalty of three: a quarter of the way from .5 to 1. The untagged stays at the mean of all.
        let found = centres(&nearest, &[0.5], 2, 3.0, 0..3);
        assert_eq!(found, [0.5, 0.625, 0.5]);
    }
}

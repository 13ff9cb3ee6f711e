//! How good routing is, in the measures that the field uses, each with a bootstrap interval.
//!
//! Sources: RouteLLM (arXiv 2406.18665) for APGR and CPT; RouterBench (arXiv 2403.12031) for hull, zero router and AIQ;
//! Efron and Tibshirani 1993 for the bootstrap's percentile interval.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::curve::{Hull, Point};
use crate::dial::Rule;
use crate::{HeldOut, LearnedError};

/// A number with its interval by resampling prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// On all prompts.
    pub value: f64,
    /// The 2.5 % point of the resampled values.
    pub low: f64,
    /// The 97.5 % point.
    pub high: f64,
}

/// How intervals are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// How many times prompts are drawn again, at least 20. 200 is enough for two digits.
    pub resamples: u32,
    /// The same seed gives the same intervals.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 200,
            seed: 1,
        }
    }
}

/// How often each prompt counts: once each, then once per resample as often as it was drawn.
struct Weights {
    rng: ChaCha8Rng,
    left: u32,
    weights: Vec<u32>,
    first: bool,
}

impl Weights {
    fn new(n: usize, bootstrap: Bootstrap) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(bootstrap.seed),
            left: bootstrap.resamples.max(20),
            weights: vec![1; n],
            first: true,
        }
    }

    fn next(&mut self) -> Option<&[u32]> {
        if self.first {
            self.first = false;
            return Some(&self.weights);
        }
        self.left = self.left.checked_sub(1)?;
        let n = self.weights.len() as u64;
        self.weights.fill(0);
        for _ in 0..n {
            // The bias of a product of 64 bits is beyond any resample.
            let drawn = (u128::from(self.rng.next_u64()) * u128::from(n)) >> 64;
            self.weights[drawn as usize] += 1;
        }
        Some(&self.weights)
    }
}

/// Values of which the first is that of all prompts. `None` if a value was not to be had.
fn measured(values: &[Option<f64>]) -> Option<Measured> {
    let (first, resampled) = values.split_first()?;
    let mut known: Vec<f64> = resampled.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (known.len().saturating_sub(1)) as f64;
        known.get(place.round() as usize).copied()
    };
    Some(Measured {
        value: (*first)?,
        low: at(0.025)?,
        high: at(0.975)?,
    })
}

/// Routing between two models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairMetrics {
    /// The model with the lower mean score.
    pub weak: String,
    /// The other.
    pub strong: String,
    /// Average performance gap recovered: .5 is chance, above 1 is possible.
    pub apgr: Measured,
    /// The least share of calls to the strong model, in percent, that recovers half of the gap. Chance: 50.
    pub cpt50: Measured,
    /// The same for 80 % of the gap. Chance: 80.
    pub cpt80: Measured,
}

impl PairMetrics {
    /// Measures the order in which prompts would be sent to the stronger of two models: by predicted gain.
    ///
    /// # Errors
    /// [`LearnedError::UnknownModel`]; [`LearnedError::OutOfRange`] if both have the same mean score.
    pub fn of(held: &HeldOut, models: [&str; 2], bootstrap: Bootstrap) -> Result<Self, LearnedError> {
        let number = |model: &str| {
            let number = held.models().iter().position(|known| known == model);
            number.ok_or_else(|| LearnedError::UnknownModel(model.to_owned()))
        };
        let means = held.mean_scores();
        let (a, b) = (number(models[0])?, number(models[1])?);
        let (weak, strong) = if means[a] <= means[b] { (a, b) } else { (b, a) };
        if means[weak] == means[strong] {
            return Err(LearnedError::OutOfRange {
                what: "the difference of the two mean scores",
                range: "above 0",
                value: 0.0,
            });
        }
        let rows = 0..held.len();
        let predicted = rows
            .clone()
            .map(|row| held.predicted(row)[strong] - held.predicted(row)[weak]);
        let gains = rows.map(|row| f64::from(held.scores(row)[strong]) - f64::from(held.scores(row)[weak]));
        let found = measure_order(
            &predicted.collect::<Vec<_>>(),
            &gains.collect::<Vec<_>>(),
            bootstrap,
        );
        let [apgr, cpt50, cpt80] = found.ok_or(LearnedError::TooFew {
            what: "measuring a pair on prompts",
            needed: 2,
            have: held.len(),
        })?;
        Ok(Self {
            weak: held.models()[weak].clone(),
            strong: held.models()[strong].clone(),
            apgr,
            cpt50,
            cpt80,
        })
    }
}

/// APGR, CPT50 and CPT80 of sending prompts to the stronger model by what was predicted to be gained; `None` if nothing is gained on the whole.
fn measure_order(predicted: &[f32], gains: &[f64], bootstrap: Bootstrap) -> Option<[Measured; 3]> {
    let mut order: Vec<usize> = (0..predicted.len()).collect();
    order.sort_by(|i, j| predicted[*j].total_cmp(&predicted[*i]));
    let ordered: Vec<f64> = order.iter().map(|row| gains[*row]).collect();
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    let mut weights = Weights::new(predicted.len(), bootstrap);
    while let Some(weights) = weights.next() {
        for (found, value) in found.iter_mut().zip(recovered(&ordered, &order, weights)) {
            found.push(value);
        }
    }
    let [apgr, cpt50, cpt80] = found.map(|values| measured(&values));
    Some([apgr?, cpt50?, cpt80?])
}

/// Whether the order by what was predicted is worth more than chance.
pub(crate) fn is_routable(predicted: &[f32], gains: &[f64]) -> bool {
    let quick = Bootstrap {
        resamples: 60,
        seed: 1,
    };
    measure_order(predicted, gains, quick).is_some_and(|[apgr, ..]| apgr.low > HARDLY_ROUTABLE)
}

/// APGR and the shares that recover 50 % and 80 % of the gap, for gains in the order of routing.
fn recovered(gains: &[f64], order: &[usize], weights: &[u32]) -> [Option<f64>; 3] {
    let weight = |row: &usize| f64::from(weights[*row]);
    let whole: f64 = gains
        .iter()
        .zip(order)
        .map(|(gain, row)| gain * weight(row))
        .sum();
    if whole <= 0.0 {
        return [None; 3];
    }
    let n: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let (mut sum, mut share, mut area) = (0.0, 0.0, 0.0);
    let mut shares = [None; 2];
    for (gain, row) in gains.iter().zip(order) {
        let before = sum;
        sum += gain * weight(row) / whole;
        let step = weight(row) / n;
        area += step * f64::midpoint(before, sum);
        share += step;
        for (found, wanted) in shares.iter_mut().zip([0.5, 0.8]) {
            if found.is_none() && sum >= wanted {
                *found = Some(100.0 * share);
            }
        }
    }
    [Some(area), shares[0], shares[1]]
}

/// How far a pair of models can be told apart by the prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Routability {
    /// What was measured.
    pub metrics: PairMetrics,
    /// Whether routing between them is more than chance: the whole interval of APGR is above .55.
    pub routable: bool,
}

/// What chance gives is .5; as much above it is too little to pay for a second model.
const HARDLY_ROUTABLE: f64 = 0.55;

/// Whether a prompt tells which of two models should answer it.
///
/// # Errors
/// As [`PairMetrics::of`].
pub fn routability(
    held: &HeldOut,
    models: [&str; 2],
    bootstrap: Bootstrap,
) -> Result<Routability, LearnedError> {
    let metrics = PairMetrics::of(held, models, bootstrap)?;
    Ok(Routability {
        routable: metrics.apgr.low > HARDLY_ROUTABLE,
        metrics,
    })
}

/// Routing in a pool of models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolMetrics {
    /// How many prompts.
    pub prompts: usize,
    /// The model with the best mean score.
    pub best: String,
    /// What it costs and gives.
    pub best_point: Point,
    /// The mean quality over costs from the cheapest model to the dearest (AIQ).
    pub aiq: Measured,
    /// That of the zero router.
    pub zero_aiq: Measured,
    /// The mean quality by doublings of the cost. `None` if a model costs nothing, or would in a resample: from 0 there are no doublings.
    pub log_aiq: Option<Measured>,
    /// That of the zero router.
    pub zero_log_aiq: Option<Measured>,
    /// The share of the best model's cost that is saved at this share of its quality, for .90, .95, .98 and 1; `None` where that quality is
    /// not reached, and if the best model costs nothing. Read off the curve of all prompts, so that of the whole quality is optimistic; a certified saving is not.
    pub saving: [Option<Measured>; 4],
    /// That of the zero router.
    pub zero_saving: [Option<Measured>; 4],
    /// The least of "router less zero router" over budgets from the cheapest model to the dearest, with the single models among the
    /// router's candidates, and its bootstrap bounds. 0 or more: never below.
    pub above_zero: Measured,
    /// The largest of it.
    pub most_above_zero: Measured,
    /// The mean distance of predicted and observed scores, over ten equal bins (expected calibration error).
    pub calibration_error: f64,
    /// The router's curve, with the single models among the candidates.
    pub curve: Hull,
    /// The zero router's.
    pub zero: Hull,
    /// What would be if the cheapest of the best answers were always known.
    pub oracle: Hull,
}

/// The shares of the best model's quality at which savings are told.
pub const SHARES: [f64; 4] = [0.90, 0.95, 0.98, 1.0];

impl PoolMetrics {
    /// Measures the curve of [`Rule::Price`] over all prices.
    ///
    /// # Errors
    /// [`LearnedError::TooFew`] without prompts or models.
    pub fn of(held: &HeldOut, bootstrap: Bootstrap) -> Result<Self, LearnedError> {
        let too_few = || LearnedError::TooFew {
            what: "measuring a pool on prompts",
            needed: 2,
            have: held.len(),
        };
        if held.len() < 2 {
            return Err(too_few());
        }
        let models = held.models().len();
        let best = held.best();
        let prices = held.prices(160);
        let choices: Vec<Vec<usize>> = prices
            .iter()
            .map(|price| held.choices(Rule::Price(*price)))
            .collect();
        let oracles: Vec<Vec<usize>> = prices.iter().map(|price| oracle(held, *price)).collect();
        let mut values = Values::default();
        let mut hulls: Option<(Hull, Hull, Hull, Point)> = None;
        let mut weights = Weights::new(held.len(), bootstrap);
        while let Some(weights) = weights.next() {
            let single: Vec<Point> = (0..models)
                .map(|model| mean_point(held, weights, |_| model))
                .collect();
            let routed = choices
                .iter()
                .map(|choices| mean_point(held, weights, |row| choices[row]));
            let zero = Hull::of(single.iter().copied());
            let curve = Hull::of(routed.chain(single.iter().copied()));
            values.push(&curve, &zero, &single, single[best]);
            if hulls.is_none() {
                let perfect = oracles
                    .iter()
                    .map(|choices| mean_point(held, weights, |row| choices[row]));
                hulls = Some((curve, zero, Hull::of(perfect), single[best]));
            }
        }
        let (curve, zero, oracle, best_point) = hulls.ok_or_else(too_few)?;
        let needed = |values: &[Option<f64>]| measured(values).ok_or_else(too_few);
        // The resamples that have a value would tell of the dearer ones alone.
        let in_all = |values: &[Option<f64>]| measured(values).filter(|_| !values.contains(&None));
        Ok(Self {
            prompts: held.len(),
            best: held.models()[best].clone(),
            best_point,
            aiq: needed(&values.aiq)?,
            zero_aiq: needed(&values.zero_aiq)?,
            log_aiq: in_all(&values.log_aiq),
            zero_log_aiq: in_all(&values.zero_log_aiq),
            saving: values.saving.each_ref().map(|values| measured(values)),
            zero_saving: values.zero_saving.each_ref().map(|values| measured(values)),
            above_zero: needed(&values.least)?,
            most_above_zero: needed(&values.most)?,
            calibration_error: calibration_error(held),
            curve,
            zero,
            oracle,
        })
    }
}

#[derive(Default)]
struct Values {
    aiq: Vec<Option<f64>>,
    zero_aiq: Vec<Option<f64>>,
    log_aiq: Vec<Option<f64>>,
    zero_log_aiq: Vec<Option<f64>>,
    saving: [Vec<Option<f64>>; 4],
    zero_saving: [Vec<Option<f64>>; 4],
    least: Vec<Option<f64>>,
    most: Vec<Option<f64>>,
}

impl Values {
    fn push(&mut self, curve: &Hull, zero: &Hull, single: &[Point], best: Point) {
        let costs = single.iter().map(|point| point.cost);
        let from = costs.clone().fold(f64::INFINITY, f64::min);
        let to = costs.fold(0.0, f64::max);
        self.aiq.push(curve.mean_quality(from, to));
        self.zero_aiq.push(zero.mean_quality(from, to));
        self.log_aiq.push(curve.mean_quality_by_doubling(from, to));
        self.zero_log_aiq.push(zero.mean_quality_by_doubling(from, to));
        for (share, (saving, zero_saving)) in SHARES
            .iter()
            .zip(self.saving.iter_mut().zip(&mut self.zero_saving))
        {
            let saved = |hull: &Hull| hull.saving(share * best.quality, best.cost);
            saving.push(saved(curve));
            zero_saving.push(saved(zero));
        }
        let above = (0..=100).filter_map(|step| {
            let cost = from + (to - from) * f64::from(step) / 100.0;
            Some(curve.quality_at(cost)? - zero.quality_at(cost)?)
        });
        self.least.push(above.clone().reduce(f64::min));
        self.most.push(above.reduce(f64::max));
    }
}

/// What a choice of a model for each prompt costs and gives.
fn mean_point(held: &HeldOut, weights: &[u32], choice: impl Fn(usize) -> usize) -> Point {
    let (mut cost, mut quality, mut n) = (0.0, 0.0, 0.0);
    for (row, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
        let weight = f64::from(*weight);
        let model = choice(row);
        cost += weight * held.costs(row)[model];
        quality += weight * f64::from(held.scores(row)[model]);
        n += weight;
    }
    Point {
        cost: cost / n,
        quality: quality / n,
    }
}

/// The choice of one who knows every answer.
fn oracle(held: &HeldOut, price: f64) -> Vec<usize> {
    (0..held.len())
        .map(|row| {
            Rule::Price(price)
                .choose(held.scores(row), held.costs(row))
                .unwrap_or_default()
        })
        .collect()
}

fn calibration_error(held: &HeldOut) -> f64 {
    const BINS: usize = 10;
    let mut bins = [(0.0f64, 0.0f64, 0.0f64); BINS];
    for (predicted, score) in held.predicted.iter().zip(&held.scores) {
        let bin = ((f64::from(*predicted) * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += f64::from(*predicted);
        bins[bin].1 += f64::from(*score);
        bins[bin].2 += 1.0;
    }
    let n: f64 = bins.iter().map(|bin| bin.2).sum();
    bins.iter()
        .map(|(predicted, observed, _)| (predicted - observed).abs())
        .sum::<f64>()
        / n
}

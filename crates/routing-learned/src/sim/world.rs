//! A scenario over a catalogue, with everything drawn that does not depend on what is chosen.

use std::time::Duration;

use costing::{MarkupRule, MarkupRules, MarkupSubject, PriceBook, PriceSheet, ServiceTier, UtcTime};
use integration_core::ModelPattern;
use model_catalogue::{Catalogue, Day, PriceOverride, PriceStrings, Rates};
use routing::{Deployment, Dice, FactBook, QualityBook, Snapshot, Target, Task};
use rust_decimal::Decimal;
use xxhash_rust::xxh3::xxh3_64;

use super::scenario::{ModelRule, PriceChange, Scenario, ScenarioError, bad, decimal, pattern};

/// What the medians of a model's speeds are drawn around where the scenario says nothing, and how far they spread.
const USUAL_TTFT_MS: f64 = 600.0;
const USUAL_TOKENS_PER_SECOND: f64 = 70.0;
const MODELS_SPREAD: f64 = 0.4;

/// The most tokens of a prompt or an answer.
const MOST_TOKENS: f64 = 100_000_000.0;
/// The most time anything takes, in seconds: a year.
const LONGEST: f64 = 31_536_000.0;
const SECOND: f64 = 1e9;

/// What chance is asked for. Each draw has a word of its own, so that no two are the same number.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Traffic = 1,
    Request,
    Model,
    Attempt,
    Policy,
}

/// The dice of one thing that is left to chance: they depend on nothing but its name and the seed.
fn dice(seed: u64, draw: Draw, name: [u64; 3]) -> Dice {
    Dice::new(key(seed, draw, name))
}

fn key(seed: u64, draw: Draw, [a, b, c]: [u64; 3]) -> u64 {
    let words = [seed, draw as u64, a, b, c];
    let mut bytes = [0; 40];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// A number around a median, by a log-normal distribution.
fn around(median: f64, spread: f64, dice: &mut Dice) -> f64 {
    median * (spread * dice.normal()).exp()
}

/// A request of the traffic.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// When it comes, in nanoseconds since the start.
    pub(super) at: u64,
    /// Which kind it is of.
    pub(super) kind: usize,
    pub(super) prompt: Option<usize>,
    pub(super) prompt_tokens: u64,
    /// Tokens that an answer has at the usual length.
    completion_tokens: u64,
}

/// A kind of requests.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) task: Task,
    pub(super) tag: Option<String>,
    pub(super) prompts: Vec<String>,
    pub(super) completion_tokens: u64,
}

/// How a model behaves.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) target: Target,
    pub(super) markup: MarkupRule,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) tokens_per_minute: Option<u32>,
    hash: u64,
    ttft_ms: f64,
    ttft_spread: f64,
    tokens_per_second: f64,
    speed_spread: f64,
    failure: f64,
    answer_factor: f64,
    /// When it is out, in nanoseconds, and with which probability an attempt then fails.
    outages: Vec<(u64, u64, f64)>,
    /// The probability of a good answer by task; `None` where nobody knows.
    good: [Option<f64>; Task::ALL.len()],
}

/// What becomes of an attempt, if neither a limit nor the deadline ends it before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// Why it fails; `None` if it answers.
    pub(super) fails: Option<&'static str>,
    /// How long until the first token, or the failure.
    pub(super) first: Duration,
    /// How long from there until the end of the answer.
    pub(super) rest: Duration,
    pub(super) completion_tokens: u64,
    /// Whether the answer is good; `None` where nobody knows how good the model is.
    pub(super) good: Option<bool>,
}

/// A scenario over a catalogue: the traffic, how each model behaves, and the prices at each time. It never changes, and every policy
/// sees the same: what comes of asking a model for a request is drawn from the seed, the request, the model and how often that model was
/// asked for it before, and from nothing else.
///
/// An answer is good with the probability of its model's quality index over 100, where the quality is what the catalogue and one's own
/// evaluations say or, for the models that a [`ModelRule`] says it of, what that says. Whether one answer is good tells nothing of
/// another model's to the same request. This is an assumption that makes policies comparable, and no measurement. Of a model whose
/// quality is not known nobody knows whether its answers are good.
#[derive(Debug)]
pub struct World {
    pub(super) seed: u64,
    pub(super) start: UtcTime,
    pub(super) attempts: u32,
    pub(super) deadline: Duration,
    pub(super) min_quality: Option<f64>,
    pub(super) kinds: Vec<Kind>,
    pub(super) arrivals: Vec<Arrival>,
    /// In the order of the snapshots' deployments.
    pub(super) models: Vec<Model>,
    /// The prices since when, in nanoseconds; the first since 0. All have the same deployments.
    pub(super) snapshots: Vec<(u64, Snapshot)>,
}

impl World {
    /// Draws the world of a scenario. Quality and facts are what policies go by; `markups` make the charge of the cost.
    ///
    /// # Errors
    /// [`ScenarioError`] if a value of the scenario cannot be, or names a model that the catalogue does not have.
    pub fn new(
        scenario: &Scenario,
        catalogue: &Catalogue,
        quality: &QualityBook,
        facts: &FactBook,
        markups: &MarkupRules,
    ) -> Result<Self, ScenarioError> {
        scenario.check()?;
        let day = Day::parse(catalogue.captured()).map_or(0, |day| day.days_since_epoch() * 86_400);
        let start = scenario.starts_at(day)?;
        let snapshots = snapshots(scenario, catalogue, quality, facts)?;
        let rules = rules("model", &scenario.model, |rule| &rule.models, catalogue)?;
        let outages = self::rules("outage", &scenario.outage, |outage| &outage.models, catalogue)?;
        let deployments = snapshots
            .first()
            .map_or(&[][..], |(_, snapshot)| snapshot.deployments());
        let models = deployments.iter().map(|deployment| {
            let model = &deployment.target().model;
            let own: Vec<_> = rules
                .iter()
                .filter(|(meant, _)| meant.matches(model))
                .map(|(_, rule)| *rule)
                .collect();
            let outages = outages
                .iter()
                .filter(|(meant, _)| meant.matches(model))
                .map(|(_, outage)| {
                    let (from, lasts) = (nanos(outage.start_s), nanos(outage.duration_s));
                    (from, from.saturating_add(lasts), outage.failure)
                });
            Model::new(scenario.seed, deployment, &own, outages.collect(), markups)
        });
        let kinds = kinds(scenario)?;
        Ok(Self {
            seed: scenario.seed,
            start,
            attempts: scenario.attempts,
            deadline: seconds(scenario.deadline_s),
            min_quality: scenario.min_quality,
            arrivals: arrivals(scenario, start),
            models: models.collect(),
            kinds: kinds.into_iter().map(|(_, kind)| kind).collect(),
            snapshots,
        })
    }

    /// How many requests come.
    pub fn requests(&self) -> usize {
        self.arrivals.len()
    }

    /// The seed of a policy's own random choices for a request.
    pub(super) fn policy_seed(&self, request: usize) -> u64 {
        key(self.seed, Draw::Policy, [request as u64, 0, 0])
    }

    /// What becomes of asking a model for a request at a time, after it was asked so many times for it.
    pub(super) fn fate(&self, request: usize, model: &Model, before: u32, at: u64) -> Option<Fate> {
        let arrival = self.arrivals.get(request)?;
        let task = self.kinds.get(arrival.kind)?.task;
        // Always all of them and in this order: none may move the others.
        let mut dice = dice(
            self.seed,
            Draw::Attempt,
            [request as u64, model.hash, u64::from(before)],
        );
        let (luck, answer) = (dice.unit(), dice.unit());
        let ttft_ms = around(model.ttft_ms, model.ttft_spread, &mut dice);
        let speed = around(model.tokens_per_second, model.speed_spread, &mut dice);
        let out = model
            .outages
            .iter()
            .filter(|(from, to, _)| (*from..*to).contains(&at));
        let out = out.map(|(_, _, failure)| *failure).fold(0.0, f64::max);
        let fails = match luck {
            luck if luck < model.failure => Some("failure"),
            luck if luck < out => Some("outage"),
            _ => None,
        };
        let tokens = (arrival.completion_tokens as f64 * model.answer_factor)
            .clamp(1.0, MOST_TOKENS)
            .round();
        Some(Fate {
            fails,
            first: seconds(ttft_ms / 1_000.0),
            rest: seconds(tokens / speed),
            completion_tokens: tokens as u64,
            good: model.good[task.index()].map(|probability| answer < probability),
        })
    }
}

impl Model {
    fn new(
        seed: u64,
        deployment: &Deployment,
        rules: &[&ModelRule],
        outages: Vec<(u64, u64, f64)>,
        markups: &MarkupRules,
    ) -> Self {
        let target = deployment.target().clone();
        let hash = xxh3_64(target.model.as_str().as_bytes());
        let mut dice = dice(seed, Draw::Model, [hash, 0, 0]);
        let usual_ttft = around(USUAL_TTFT_MS, MODELS_SPREAD, &mut dice);
        let usual_speed = around(USUAL_TOKENS_PER_SECOND, MODELS_SPREAD, &mut dice);
        let said = |figure: fn(&ModelRule) -> Option<f64>| rules.iter().find_map(|rule| figure(rule));
        let limit = |limit: fn(&ModelRule) -> Option<u32>| rules.iter().find_map(|rule| limit(rule));
        let quality = said(|rule| rule.quality);
        Self {
            markup: markups.rule_for(MarkupSubject::new(&target.provider, &target.model)),
            requests_per_minute: limit(|rule| rule.requests_per_minute),
            tokens_per_minute: limit(|rule| rule.tokens_per_minute),
            hash,
            ttft_ms: said(|rule| rule.ttft_ms).unwrap_or(usual_ttft),
            ttft_spread: said(|rule| rule.ttft_spread).unwrap_or(0.4),
            tokens_per_second: said(|rule| rule.tokens_per_second).unwrap_or(usual_speed),
            speed_spread: said(|rule| rule.speed_spread).unwrap_or(0.2),
            failure: said(|rule| rule.failure).unwrap_or(0.01),
            answer_factor: said(|rule| rule.answer_factor).unwrap_or(1.0),
            outages,
            good: Task::ALL.map(|task| {
                let quality = quality.or_else(|| deployment.belief(task).map(|belief| belief.mean))?;
                Some((quality / 100.0).clamp(0.0, 1.0))
            }),
            target,
        }
    }
}

/// What entries of a list say, by the models they mean.
fn rules<'s, T>(
    key: &'static str,
    entries: &'s [T],
    models: fn(&T) -> &String,
    catalogue: &Catalogue,
) -> Result<Vec<(ModelPattern, &'s T)>, ScenarioError> {
    let read = |entry: &'s T| {
        let meant = pattern(key, models(entry))?;
        if catalogue.records().iter().any(|record| meant.matches(&record.id)) {
            Ok((meant, entry))
        } else {
            Err(ScenarioError::NoModel {
                key: format!("{key}.models"),
                pattern: meant.to_string(),
            })
        }
    };
    entries.iter().map(read).collect()
}

/// The kinds with their shares.
fn kinds(scenario: &Scenario) -> Result<Vec<(f64, Kind)>, ScenarioError> {
    let usual = [super::RequestKind::default()];
    let said = if scenario.request.is_empty() {
        &usual[..]
    } else {
        &scenario.request[..]
    };
    let kind = |said: &super::RequestKind| {
        let kind = Kind {
            task: scenario.task_of(said.task.as_deref(), "request.task")?,
            tag: said.tag.clone(),
            prompts: said.prompts.clone(),
            completion_tokens: said.completion_tokens,
        };
        Ok((said.share, kind))
    };
    said.iter().map(kind).collect()
}

/// The traffic: a Poisson process, thinned where its rate is below that of the peak.
fn arrivals(scenario: &Scenario, start: UtcTime) -> Vec<Arrival> {
    let usual = [super::RequestKind::default()];
    let kinds = if scenario.request.is_empty() {
        &usual[..]
    } else {
        &scenario.request[..]
    };
    let shares: f64 = kinds.iter().map(|kind| kind.share).sum();
    let traffic = &scenario.traffic;
    let peak = 1.0 + traffic.daily_swing;
    let mut times = dice(scenario.seed, Draw::Traffic, [0; 3]);
    let start_hour = start.unix().rem_euclid(86_400) as f64 / 3_600.0;
    let mut at = 0.0_f64;
    let mut arrivals = Vec::new();
    for request in 0..scenario.requests {
        loop {
            at += -times.unit().ln() * 60.0 / (traffic.per_minute * peak);
            let hour = start_hour + at / 3_600.0 - traffic.peak_hour;
            let rate = 1.0 + traffic.daily_swing * (std::f64::consts::TAU * hour / 24.0).cos();
            if times.unit() * peak <= rate {
                break;
            }
        }
        let mut dice = dice(scenario.seed, Draw::Request, [request, 0, 0]);
        let mut left = dice.unit() * shares;
        let kind = kinds.iter().position(|kind| {
            left -= kind.share;
            left < 0.0
        });
        // Rounding may leave a little after the last one.
        let kind = kind.unwrap_or(kinds.len() - 1);
        let said = &kinds[kind];
        let mut tokens = |median: u64| {
            around(median as f64, said.spread, &mut dice)
                .clamp(1.0, MOST_TOKENS)
                .round() as u64
        };
        let (prompt_tokens, completion_tokens) = (tokens(said.prompt_tokens), tokens(said.completion_tokens));
        let prompt = (!said.prompts.is_empty())
            .then(|| ((dice.unit() * said.prompts.len() as f64) as usize).min(said.prompts.len() - 1));
        arrivals.push(Arrival {
            at: nanos(at),
            kind,
            prompt,
            prompt_tokens,
            completion_tokens,
        });
    }
    arrivals
}

/// The catalogue at each of its prices.
fn snapshots(
    scenario: &Scenario,
    catalogue: &Catalogue,
    quality: &QualityBook,
    facts: &FactBook,
) -> Result<Vec<(u64, Snapshot)>, ScenarioError> {
    let mut changes = rules(
        "price_change",
        &scenario.price_change,
        |change| &change.models,
        catalogue,
    )?;
    changes.sort_by(|(_, a), (_, b)| a.at_s.total_cmp(&b.at_s));
    let mut book = PriceBook::from_catalogue(catalogue).0;
    let mut strings: Vec<_> = catalogue
        .records()
        .iter()
        .map(|record| record.prices.clone())
        .collect();
    let snapshot = |book: &PriceBook| Snapshot::with_parts(&[(catalogue, book)], quality, facts);
    let mut snapshots = vec![(0, snapshot(&book))];
    for (meant, change) in changes {
        for (record, prices) in catalogue.records().iter().zip(&mut strings) {
            if !meant.matches(&record.id) {
                continue;
            }
            let refused = |cause: String| ScenarioError::Price {
                key: "price_change".to_owned(),
                model: record.id.to_string(),
                cause,
            };
            changed(prices, change)?;
            match PriceSheet::parse(prices) {
                Ok(sheet) => book = book.with_sheet(record.id.clone(), ServiceTier::Standard, sheet),
                // What had no price that can be read before has none now.
                Err(_) if book.sheet(&record.id).is_none() => {}
                Err(cause) => return Err(refused(cause.to_string())),
            }
        }
        snapshots.push((nanos(change.at_s), snapshot(&book)));
    }
    Ok(snapshots)
}

/// Applies a change. What is decided per request (a price below zero), or cannot be read, stays.
fn changed(prices: &mut PriceStrings, change: &PriceChange) -> Result<(), ScenarioError> {
    if let Some(factor) = &change.factor {
        let factor = decimal("price_change.factor", factor, 1_000)?;
        let overrides = prices
            .overrides
            .iter_mut()
            .map(|over: &mut PriceOverride| &mut over.rates);
        for rates in std::iter::once(&mut prices.rates).chain(overrides) {
            scale(rates, factor)?;
        }
        return Ok(());
    }
    prices.overrides.clear();
    for (key, text) in [
        ("prompt", &change.prompt_usd_per_million),
        ("completion", &change.completion_usd_per_million),
    ] {
        let Some(text) = text else { continue };
        let price = decimal("price_change", text, 1_000_000)?.checked_div(Decimal::from(1_000_000));
        let price = price.ok_or_else(|| bad("price_change", "prices of fewer digits"))?;
        prices.rates.insert(key.to_owned(), price.normalize().to_string());
    }
    Ok(())
}

fn scale(rates: &mut Rates, factor: Decimal) -> Result<(), ScenarioError> {
    for rate in rates.values_mut() {
        let Ok(price) = Decimal::from_str_exact(rate) else {
            continue;
        };
        if !price.is_sign_negative() {
            let price = price
                .checked_mul(factor)
                .ok_or_else(|| bad("price_change.factor", "smaller"))?;
            *rate = price.normalize().to_string();
        }
    }
    Ok(())
}

/// Seconds as a time; more than a year is a year.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST)).unwrap_or_default()
}

/// Seconds in whole nanoseconds.
fn nanos(seconds: f64) -> u64 {
    (seconds * SECOND) as u64
}

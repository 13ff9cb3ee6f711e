//! What a scenario file says.

use costing::UtcTime;
use integration_core::{InvalidModelPattern, ModelPattern};
use model_catalogue::Day;
use routing::{Task, UnknownTask};
use rust_decimal::Decimal;
use serde::Deserialize;

/// The most requests of a scenario.
pub const MOST_REQUESTS: u64 = 1_000_000;

/// The most entries of each list of a scenario.
const MOST_ENTRIES: usize = 256;
/// The most price changes: each is a catalogue of its own.
const MOST_PRICE_CHANGES: usize = 32;
/// The most text of all prompts together, in bytes.
const MOST_PROMPTS: usize = 16 << 20;
/// How long a scenario may last in minutes, and its price changes and outages be away in seconds: ten years.
const MOST_MINUTES: f64 = 5_256_000.0;
pub(super) const MOST_SECONDS: f64 = MOST_MINUTES * 60.0;

/// What is simulated. Everything has a default; the file is TOML with these names.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Scenario {
    /// What everything left to chance is drawn from: the same seed, the same world. 0 if absent.
    pub seed: u64,
    /// How many requests come, 1 to 1,000,000; 10,000 if absent.
    pub requests: u64,
    /// The day (UTC), `YYYY-MM-DD`, at whose beginning the traffic begins; that of the catalogue if absent. Prices can depend on the
    /// time of day, and models expire.
    pub start: Option<String>,
    /// The task of requests that name none; `reasoning` if absent.
    pub task: Option<String>,
    /// The least quality of policies that name none, on the task's index.
    pub min_quality: Option<f64>,
    /// The policies by their words, see [`policy`](super::policy()); the first is the one that the others are held against.
    pub policies: Vec<String>,
    /// The most models that are asked for one request, 1 to 16; 3 if absent.
    pub attempts: u32,
    /// After how many seconds a request is given up, 0.1 to 3,600; 60 if absent.
    pub deadline_s: f64,
    /// How often requests come.
    pub traffic: Traffic,
    /// The kinds of requests, `[[request]]`; one kind with the defaults if there is none.
    pub request: Vec<RequestKind>,
    /// How models behave, `[[model]]`. Of each figure the first entry that means a model and says it counts.
    pub model: Vec<ModelRule>,
    /// When models are out, `[[outage]]`.
    pub outage: Vec<Outage>,
    /// When prices change, `[[price_change]]`.
    pub price_change: Vec<PriceChange>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 0,
            requests: 10_000,
            start: None,
            task: None,
            min_quality: None,
            policies: ["cheapest", "best-quality", "lowest-latency", "weighted-utility"]
                .map(str::to_owned)
                .into(),
            attempts: 3,
            deadline_s: 60.0,
            traffic: Traffic::default(),
            request: Vec::new(),
            model: Vec::new(),
            outage: Vec::new(),
            price_change: Vec::new(),
        }
    }
}

/// How often requests come: one independently of the other (a Poisson process).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Traffic {
    /// Requests a minute on average, 0.001 to 1,000,000; 60 if absent.
    pub per_minute: f64,
    /// How far the rate swings over a day, as a share of the average, 0 to 1: with 0.5 it is half as much again at the peak, and half
    /// as much twelve hours later. 0 if absent.
    pub daily_swing: f64,
    /// The hour of the day (UTC) of the peak, 0 to 24; 14 if absent.
    pub peak_hour: f64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            per_minute: 60.0,
            daily_swing: 0.0,
            peak_hour: 14.0,
        }
    }
}

/// A kind of requests.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RequestKind {
    /// Its share of the traffic against those of the other kinds, above 0 to 1,000,000; 1 if absent.
    pub share: f64,
    /// What it is for; the scenario's task if absent.
    pub task: Option<String>,
    /// What it is called, for policies that look at it.
    pub tag: Option<String>,
    /// Texts, of which each request has one, for policies that look at it. No text if there is none.
    pub prompts: Vec<String>,
    /// The median size of prompts in tokens, 1 to 10,000,000; 1,000 if absent.
    pub prompt_tokens: u64,
    /// The median size of answers in tokens, 1 to 10,000,000; 500 if absent. It is what policies expect.
    pub completion_tokens: u64,
    /// How far sizes spread: the standard deviation of their logarithm, 0 to 3; 0.5 if absent.
    pub spread: f64,
}

impl Default for RequestKind {
    fn default() -> Self {
        Self {
            share: 1.0,
            task: None,
            tag: None,
            prompts: Vec::new(),
            prompt_tokens: 1_000,
            completion_tokens: 500,
            spread: 0.5,
        }
    }
}

/// How the models that a pattern means behave. What is absent has its default.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelRule {
    /// Which models: `author/model`, `author/*`, `*:variant` or `*`.
    pub models: String,
    /// The median time to the first token in milliseconds, 1 to 600,000. By default drawn for each model around 600.
    pub ttft_ms: Option<f64>,
    /// How far it spreads: the standard deviation of its logarithm, 0 to 3; 0.4 by default.
    pub ttft_spread: Option<f64>,
    /// Tokens a second after the first, 0.1 to 100,000. By default drawn for each model around 70.
    pub tokens_per_second: Option<f64>,
    /// How far the speed spreads, likewise, 0 to 3; 0.2 by default.
    pub speed_spread: Option<f64>,
    /// The probability that an attempt fails, 0 to 1; 0.01 by default.
    pub failure: Option<f64>,
    /// How many times the usual tokens an answer has, 0.01 to 100; 1 by default.
    pub answer_factor: Option<f64>,
    /// The quality that answers really have, 0 to 100, whatever is believed of it; what is believed by default.
    pub quality: Option<f64>,
    /// The most requests a minute, from 1; no limit by default.
    pub requests_per_minute: Option<u32>,
    /// The most tokens a minute, prompt and answer together, from 1; no limit by default.
    pub tokens_per_minute: Option<u32>,
}

/// A time in which models are out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Outage {
    /// Which models, as in [`ModelRule::models`].
    pub models: String,
    /// When it begins, in seconds since the start.
    pub start_s: f64,
    /// How many seconds it lasts.
    pub duration_s: f64,
    /// The probability that an attempt in it fails, 0 to 1; 1 if absent.
    #[serde(default = "certain")]
    pub failure: f64,
}

const fn certain() -> f64 {
    1.0
}

/// New prices of models: all of them times a factor, or those of prompt and answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PriceChange {
    /// Which models, as in [`ModelRule::models`].
    pub models: String,
    /// When, in seconds since the start. Requests that came before are billed at the price of before.
    pub at_s: f64,
    /// What every price is multiplied by: a decimal number in quotes, 0 to 1,000.
    pub factor: Option<String>,
    /// What a million tokens of the prompt cost from then on, in US dollars: a decimal number in quotes, 0 to 1,000,000. Prices for long
    /// prompts or times of day end with it.
    pub prompt_usd_per_million: Option<String>,
    /// The same of answers.
    pub completion_usd_per_million: Option<String>,
}

/// What is wrong with a scenario. Messages name the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// A value is outside of what it may be.
    #[error("`{key}` must be {may}")]
    Value {
        /// Where it stands.
        key: String,
        /// What it may be.
        may: String,
    },
    /// There is too much of something.
    #[error("there are {found} entries of `{key}`; there may be {most}")]
    TooMany {
        /// Of what.
        key: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A pattern means no model of the catalogue.
    #[error("`{key}`: no model of the catalogue is meant by '{pattern}'")]
    NoModel {
        /// Where it stands.
        key: String,
        /// What it says.
        pattern: String,
    },
    /// A word that is no pattern.
    #[error("`{key}`: {cause}")]
    Pattern {
        /// Where it stands.
        key: String,
        /// What is wrong.
        cause: InvalidModelPattern,
    },
    /// A word that is no task.
    #[error("`{key}`: {cause}")]
    Task {
        /// Where it stands.
        key: String,
        /// What is wrong.
        cause: UnknownTask,
    },
    /// A price that a change would make cannot be.
    #[error("`{key}`: the price of {model} cannot be changed so: {cause}")]
    Price {
        /// Where the change stands.
        key: String,
        /// Whose price.
        model: String,
        /// What is wrong.
        cause: String,
    },
}

pub(super) fn bad(key: impl Into<String>, may: impl Into<String>) -> ScenarioError {
    ScenarioError::Value {
        key: key.into(),
        may: may.into(),
    }
}

fn within(key: &str, value: f64, low: f64, high: f64) -> Result<(), ScenarioError> {
    // Not a number is in no range.
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(bad(key, format!("a number from {low} to {high}")))
    }
}

fn at_most(key: &'static str, found: usize, most: usize) -> Result<(), ScenarioError> {
    if found > most {
        return Err(ScenarioError::TooMany { key, found, most });
    }
    Ok(())
}

pub(super) fn pattern(key: &str, text: &str) -> Result<ModelPattern, ScenarioError> {
    text.parse().map_err(|cause| ScenarioError::Pattern {
        key: format!("{key}.models"),
        cause,
    })
}

/// A decimal number from 0 to `most`, written plainly.
pub(super) fn decimal(key: &str, text: &str, most: u32) -> Result<Decimal, ScenarioError> {
    let number = Decimal::from_str_exact(text).ok();
    number
        .filter(|number| {
            !number.is_sign_negative() && *number <= Decimal::from(most) && !text.contains(['_', '+'])
        })
        .ok_or_else(|| {
            bad(
                key,
                format!("a decimal number from 0 to {most} in quotes, such as \"0.5\""),
            )
        })
}

impl Scenario {
    /// Holds every value against what it may be.
    ///
    /// # Errors
    /// [`ScenarioError`] names the first value that cannot be.
    pub fn check(&self) -> Result<(), ScenarioError> {
        if !(1..=MOST_REQUESTS).contains(&self.requests) {
            return Err(bad(
                "requests",
                format!("a whole number from 1 to {MOST_REQUESTS}"),
            ));
        }
        if !(1..=16).contains(&self.attempts) {
            return Err(bad("attempts", "a whole number from 1 to 16"));
        }
        within("deadline_s", self.deadline_s, 0.1, 3_600.0)?;
        if self.min_quality.is_some_and(|least| !least.is_finite()) {
            return Err(bad("min_quality", "a number"));
        }
        self.traffic.check(self.requests)?;
        self.starts_at(0)?;
        self.task_of(self.task.as_deref(), "task")?;
        at_most("policies", self.policies.len(), 32)?;
        at_most("request", self.request.len(), MOST_ENTRIES)?;
        at_most("model", self.model.len(), MOST_ENTRIES)?;
        at_most("outage", self.outage.len(), MOST_ENTRIES)?;
        at_most("price_change", self.price_change.len(), MOST_PRICE_CHANGES)?;
        let prompts = self.request.iter().flat_map(|kind| &kind.prompts);
        if prompts.map(String::len).sum::<usize>() > MOST_PROMPTS {
            return Err(bad("request.prompts", "16 MiB of text at the most, all together"));
        }
        self.request.iter().try_for_each(|kind| self.check_kind(kind))?;
        self.model.iter().try_for_each(ModelRule::check)?;
        for outage in &self.outage {
            within("outage.start_s", outage.start_s, 0.0, MOST_SECONDS)?;
            within("outage.duration_s", outage.duration_s, 0.0, MOST_SECONDS)?;
            within("outage.failure", outage.failure, 0.0, 1.0)?;
        }
        self.price_change.iter().try_for_each(PriceChange::check)
    }

    /// When the traffic begins; `catalogue_day` is that of the catalogue in seconds.
    pub(super) fn starts_at(&self, catalogue_day: i64) -> Result<UtcTime, ScenarioError> {
        let Some(text) = &self.start else {
            return Ok(UtcTime::from_unix(catalogue_day));
        };
        let day = Day::parse(text).ok_or_else(|| bad("start", "a day such as 2026-08-22"))?;
        Ok(UtcTime::from_unix(day.days_since_epoch() * 86_400))
    }

    pub(super) fn task_of(&self, word: Option<&str>, key: &str) -> Result<Task, ScenarioError> {
        let task = word.or(self.task.as_deref()).map(str::parse).transpose();
        let task = task.map_err(|cause| ScenarioError::Task {
            key: key.to_owned(),
            cause,
        })?;
        Ok(task.unwrap_or(Task::Reasoning))
    }

    fn check_kind(&self, kind: &RequestKind) -> Result<(), ScenarioError> {
        within("request.share", kind.share, 1e-6, 1e6)?;
        within("request.spread", kind.spread, 0.0, 3.0)?;
        self.task_of(kind.task.as_deref(), "request.task")?;
        for (key, tokens) in [
            ("request.prompt_tokens", kind.prompt_tokens),
            ("request.completion_tokens", kind.completion_tokens),
        ] {
            if !(1..=10_000_000).contains(&tokens) {
                return Err(bad(key, "a whole number from 1 to 10000000"));
            }
        }
        Ok(())
    }
}

impl Traffic {
    fn check(&self, requests: u64) -> Result<(), ScenarioError> {
        within("traffic.per_minute", self.per_minute, 0.001, 1e6)?;
        within("traffic.daily_swing", self.daily_swing, 0.0, 1.0)?;
        within("traffic.peak_hour", self.peak_hour, 0.0, 24.0)?;
        if requests as f64 / self.per_minute > MOST_MINUTES {
            return Err(bad(
                "traffic.per_minute",
                "so much that the requests come within ten years",
            ));
        }
        Ok(())
    }
}

impl ModelRule {
    fn check(&self) -> Result<(), ScenarioError> {
        for (key, value, low, high) in [
            ("model.ttft_ms", self.ttft_ms, 1.0, 600_000.0),
            ("model.ttft_spread", self.ttft_spread, 0.0, 3.0),
            ("model.tokens_per_second", self.tokens_per_second, 0.1, 100_000.0),
            ("model.speed_spread", self.speed_spread, 0.0, 3.0),
            ("model.failure", self.failure, 0.0, 1.0),
            ("model.answer_factor", self.answer_factor, 0.01, 100.0),
            ("model.quality", self.quality, 0.0, 100.0),
        ] {
            value.map_or(Ok(()), |value| within(key, value, low, high))?;
        }
        for (key, limit) in [
            ("model.requests_per_minute", self.requests_per_minute),
            ("model.tokens_per_minute", self.tokens_per_minute),
        ] {
            if limit == Some(0) {
                return Err(bad(key, "a whole number from 1"));
            }
        }
        Ok(())
    }
}

impl PriceChange {
    fn check(&self) -> Result<(), ScenarioError> {
        within("price_change.at_s", self.at_s, 0.0, MOST_SECONDS)?;
        let has_price = self.prompt_usd_per_million.is_some() || self.completion_usd_per_million.is_some();
        if has_price == self.factor.is_some() {
            return Err(bad(
                "price_change",
                "either a `factor`, or `prompt_usd_per_million`, `completion_usd_per_million` or both",
            ));
        }
        for (key, text, most) in [
            ("price_change.factor", &self.factor, 1_000),
            (
                "price_change.prompt_usd_per_million",
                &self.prompt_usd_per_million,
                1_000_000,
            ),
            (
                "price_change.completion_usd_per_million",
                &self.completion_usd_per_million,
                1_000_000,
            ),
        ] {
            text.as_deref()
                .map_or(Ok(()), |text| decimal(key, text, most).map(drop))?;
        }
        Ok(())
    }
}

//! The rules of a scenario: what fails, when, where and how often, and how fast answers come.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;

use super::Route;
use super::values::{Distribution, fault, milliseconds, mix, probability, retry_after, seconds, whole};
use crate::dice::Dice;
use crate::fault::{Fault, RetryForm, matches};

/// One rule: what to match, when, and what happens then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) route: Route,
    model: Option<String>,
    upstream: Option<String>,
    pub(crate) probability: f64,
    fault: Option<Fault>,
    /// Faults by weight, of which one is drawn each time.
    mix: Vec<(Fault, u32)>,
    pub(crate) delay: Duration,
    pub(crate) retry_after: Option<RetryForm>,
    requests: RangeInclusive<u64>,
    after: Duration,
    until: Option<Duration>,
}

impl Rule {
    /// Whether the rule is about this route, this model (by any of its names) and this upstream (by any of its names).
    pub(crate) fn is_about(&self, route: Route, models: &[&str], upstreams: &[&str]) -> bool {
        let one = |glob: &Option<String>, names: &[&str]| {
            glob.as_deref()
                .is_none_or(|glob| names.iter().any(|name| matches(glob, name)))
        };
        self.route.covers(route) && one(&self.model, models) && one(&self.upstream, upstreams)
    }

    /// The fault of this time, if the rule has any.
    pub(crate) fn draw(&self, dice: &mut Dice) -> Option<Fault> {
        let all: u32 = self.mix.iter().map(|(_, weight)| weight).sum();
        let mut left = dice.below(all);
        for (fault, weight) in &self.mix {
            if left < *weight {
                return Some(*fault);
            }
            left -= weight;
        }
        self.fault
    }

    /// Whether it is about one upstream, so that the service can move on to another.
    pub(crate) fn names_upstream(&self) -> bool {
        self.upstream.is_some()
    }

    /// Whether it is in force for the `number`-th attempt it is about (from 1), that long after the start.
    pub(crate) fn is_in_force(&self, number: u64, elapsed: Duration) -> bool {
        self.requests.contains(&number)
            && elapsed >= self.after
            && self.until.is_none_or(|until| elapsed < until)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(default)]
    route: Route,
    model: Option<String>,
    upstream: Option<String>,
    #[serde(default, deserialize_with = "probability")]
    probability: Option<f64>,
    #[serde(default, deserialize_with = "fault")]
    fault: Option<Fault>,
    #[serde(default, deserialize_with = "mix")]
    faults: Vec<(Fault, u32)>,
    #[serde(default, deserialize_with = "milliseconds")]
    delay_ms: Option<Duration>,
    #[serde(default, deserialize_with = "retry_after")]
    retry_after: Option<RetryForm>,
    #[serde(default, deserialize_with = "whole")]
    from_request: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    to_request: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    after: Option<Duration>,
    #[serde(default, deserialize_with = "seconds")]
    until: Option<Duration>,
}

impl RawRule {
    fn check(self) -> Result<Rule, String> {
        if self.fault.is_none() && self.faults.is_empty() && self.delay_ms.is_none() {
            return Err("a rule needs `fault`, `faults`, `delay_ms` or several of them".to_owned());
        }
        if self.fault.is_some() && !self.faults.is_empty() {
            return Err("a rule has `fault` or `faults`, not both".to_owned());
        }
        let named = self.model.is_some() || self.upstream.is_some();
        if !self.route.has_model() && named {
            return Err(
                "`model` and `upstream` belong to rules of routes that have a model, such as `chat`"
                    .to_owned(),
            );
        }
        let mut faults = self
            .fault
            .iter()
            .chain(self.faults.iter().map(|(fault, _)| fault));
        if let Some(fault) = faults.find(|fault| !self.route.generates() && !fault.fits_pages()) {
            return Err(format!(
                "`{fault}` is a fault of the routes that generate text only, such as `chat`"
            ));
        }
        let requests = self.from_request.unwrap_or(1)..=self.to_request.unwrap_or(u64::MAX);
        if requests.is_empty() {
            return Err("`to_request` comes before `from_request`".to_owned());
        }
        let after = self.after.unwrap_or_default();
        if self.until.is_some_and(|until| until <= after) {
            return Err("`until` does not come after `after`".to_owned());
        }
        Ok(Rule {
            route: self.route,
            model: self.model,
            upstream: self.upstream,
            probability: self.probability.unwrap_or(1.0),
            fault: self.fault,
            mix: self.faults,
            delay: self.delay_ms.unwrap_or_default(),
            retry_after: self.retry_after,
            requests,
            after,
            until: self.until,
        })
    }
}

pub(crate) fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rule>, D::Error> {
    // The outer span is that of a rule; an error names the rule by number besides, for a file of many rules.
    let raw = Vec::<Spanned<RawRule>>::deserialize(deserializer)?;
    raw.into_iter()
        .enumerate()
        .map(|(at, rule)| {
            rule.into_inner()
                .check()
                .map_err(|message| D::Error::custom(format_args!("rule {}: {message}", at + 1)))
        })
        .collect()
}

/// How fast an endpoint answers, in place of what the seed says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LatencyRule {
    model: Option<String>,
    upstream: Option<String>,
    /// Milliseconds to the first piece.
    pub(crate) first_ms: Option<Distribution>,
    pub(crate) tokens_per_second: Option<Distribution>,
    #[serde(default, deserialize_with = "seconds")]
    after: Option<Duration>,
    #[serde(default, deserialize_with = "seconds")]
    until: Option<Duration>,
}

impl LatencyRule {
    /// Whether it is about this model and this upstream, by any of their names, that long after the start.
    pub(crate) fn is_about(&self, models: &[&str], upstreams: &[&str], elapsed: Duration) -> bool {
        place_and_time(
            [(&self.model, models), (&self.upstream, upstreams)],
            (self.after, self.until),
            elapsed,
        )
    }
}

/// Whether each pattern fits one of its names, and the time lies between the two.
fn place_and_time(
    places: [(&Option<String>, &[&str]); 2],
    (after, until): (Option<Duration>, Option<Duration>),
    elapsed: Duration,
) -> bool {
    let one = |(glob, names): (&Option<String>, &[&str])| {
        glob.as_deref()
            .is_none_or(|glob| names.iter().any(|name| matches(glob, name)))
    };
    let begun = after.is_none_or(|after| elapsed >= after);
    let ended = until.is_some_and(|until| elapsed >= until);
    places.into_iter().all(one) && begun && !ended
}

pub(crate) fn latency_rules<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<LatencyRule>, D::Error> {
    let read = Vec::<LatencyRule>::deserialize(deserializer)?;
    let empty = |rule: &LatencyRule| rule.first_ms.is_none() && rule.tokens_per_second.is_none();
    match read.iter().position(empty) {
        None => Ok(read),
        Some(at) => Err(D::Error::custom(format_args!(
            "latency {}: it needs `first_ms`, `tokens_per_second` or both",
            at + 1
        ))),
    }
}

/// How an endpoint stands, in place of what the seed says and of how its attempts ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusRule {
    model: Option<String>,
    upstream: Option<String>,
    /// 0 is the usual one. The service uses some numbers below it, and does not say what they mean.
    #[serde(deserialize_with = "status")]
    pub(crate) status: i32,
    #[serde(default, deserialize_with = "seconds")]
    after: Option<Duration>,
    #[serde(default, deserialize_with = "seconds")]
    until: Option<Duration>,
}

/// The numbers that the service has been seen to use.
const STATUSES: [i32; 6] = [0, -1, -2, -3, -5, -10];

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let status = i32::deserialize(deserializer)?;
    if STATUSES.contains(&status) {
        return Ok(status);
    }
    Err(D::Error::custom(format_args!(
        "a status is 0, -1, -2, -3, -5 or -10, not {status}"
    )))
}

impl StatusRule {
    /// Whether it is about this model and this upstream, by any of their names, that long after the start.
    pub(crate) fn is_about(&self, models: &[&str], upstreams: &[&str], elapsed: Duration) -> bool {
        place_and_time(
            [(&self.model, models), (&self.upstream, upstreams)],
            (self.after, self.until),
            elapsed,
        )
    }
}

pub(crate) fn status_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StatusRule>, D::Error> {
    let read = Vec::<StatusRule>::deserialize(deserializer)?;
    let everywhere = |rule: &StatusRule| rule.model.is_none() && rule.upstream.is_none();
    match read.iter().position(everywhere) {
        None => Ok(read),
        Some(at) => Err(D::Error::custom(format_args!(
            "endpoint {}: it needs `model`, `upstream` or both",
            at + 1
        ))),
    }
}

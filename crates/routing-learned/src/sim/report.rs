//! What came of it.

use std::collections::BTreeMap;

use costing::{Pico, PicoSum};
use experiments::statistics::Moments;
use integration_core::ModelId;
use rust_decimal::Decimal;
use serde::Serialize;

/// What came of simulating policies. Serialised, amounts are decimal strings in US dollars, shares are from 0 to 1, times are in
/// milliseconds, and what is not known is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The seed: with the same scenario and catalogue it gives this report again, to the last byte.
    pub seed: u64,
    /// How many requests came.
    pub requests: u64,
    /// When the traffic began, in seconds since 1970.
    pub start_unix: i64,
    /// After how many seconds the last request came.
    pub last_request_s: f64,
    /// The prices that held, in order.
    pub prices: Vec<Prices>,
    /// What came of each policy; the first is what the others are held against.
    pub policies: Vec<PolicyReport>,
}

/// Prices that held from a time on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prices {
    /// Since when, in seconds after the start.
    pub since_s: f64,
    /// The name of the snapshot.
    pub snapshot: String,
}

/// What came of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PolicyReport {
    /// The policy's name.
    pub policy: String,
    /// How many requests came.
    pub requests: u64,
    /// How many were answered.
    pub succeeded: u64,
    /// How many were not.
    pub failed: u64,
    /// The share that was answered.
    pub success: f64,
    /// The share of good answers among those of models whose quality is known; `None` where there is none.
    pub quality: Option<Figure>,
    /// Answers of models whose quality nobody knows. They are not in `quality`.
    pub quality_unknown: u64,
    /// What was paid, failed requests included; `None` where the cost of a request is not known.
    pub cost_usd: Option<PicoSum>,
    /// What is added to it.
    pub markup_usd: Option<PicoSum>,
    /// Both together.
    pub charge_usd: Option<PicoSum>,
    /// Requests whose cost nobody knows, because a model has no price for them.
    pub cost_unknown: u64,
    /// The cost of everything by the requests that were answered, to the pico-dollar; `None` where none was, or where costs are unknown.
    pub cost_per_success_usd: Option<Pico>,
    /// The time from the request to the end of its answer that half of the answers kept to.
    pub latency_p50_ms: Option<f64>,
    /// The same of 95 % of them.
    pub latency_p95_ms: Option<f64>,
    /// How many times a model was asked.
    pub attempts: u64,
    /// The same by request.
    pub attempts_per_request: f64,
    /// Why requests failed: what the last attempt ended with, `deadline`, or `no_model` where the policy named none.
    pub failed_requests: BTreeMap<&'static str, u64>,
    /// Why attempts failed: `failure`, `outage`, `rate_limited`, `deadline`.
    pub failed_attempts: BTreeMap<&'static str, u64>,
    /// Who was asked, the most often first.
    pub models: Vec<ModelShare>,
    /// By how much it is more than the first policy; `None` for that one.
    pub difference: Option<Difference>,
}

/// What one model had of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelShare {
    /// The model.
    pub model: ModelId,
    /// How many times it was asked.
    pub attempts: u64,
    /// How many times it answered.
    pub answered: u64,
    /// What it was paid; `None` where it has no price for something it was asked for.
    pub cost_usd: Option<PicoSum>,
}

/// A mean with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figure {
    /// Requests it is the mean of.
    pub requests: u64,
    /// The mean.
    pub mean: f64,
    /// Its standard error; `None` with a single request.
    pub se: Option<f64>,
}

/// The same in US dollars, to the pico-dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CostDifference {
    /// Requests it is the mean of.
    pub requests: u64,
    /// The mean, by request.
    pub mean_usd: Pico,
    /// Its standard error; `None` with a single request.
    pub se_usd: Option<Pico>,
}

/// By how much a policy is more than the first one, request by request. That of quality and of latency is of the requests that both
/// answered and where both are known; that of cost is of all, and unknown where one of them is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Of the share that is answered.
    pub success: Option<Figure>,
    /// Of the share of good answers.
    pub quality: Option<Figure>,
    /// Of the cost of a request.
    pub cost: Option<CostDifference>,
    /// Of the latency in milliseconds.
    pub latency_ms: Option<Figure>,
}

/// What came of one request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    /// As far as it is known.
    pub(super) cost: PicoSum,
    pub(super) charge: PicoSum,
    pub(super) cost_is_unknown: bool,
    /// How long it took, in nanoseconds, if it was answered.
    pub(super) latency: Option<u64>,
    pub(super) good: Option<bool>,
}

/// What is counted while a policy runs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) failed_requests: BTreeMap<&'static str, u64>,
    pub(super) failed_attempts: BTreeMap<&'static str, u64>,
    pub(super) models: BTreeMap<ModelId, ModelShare>,
}

impl Tally {
    pub(super) fn of(&mut self, model: &ModelId) -> &mut ModelShare {
        self.models.entry(model.clone()).or_insert_with(|| ModelShare {
            model: model.clone(),
            attempts: 0,
            answered: 0,
            cost_usd: Some(PicoSum::ZERO),
        })
    }

    pub(super) fn report(
        self,
        policy: String,
        outcomes: &[Outcome],
        first: Option<&[Outcome]>,
    ) -> PolicyReport {
        let requests = outcomes.len() as u64;
        let mut latencies: Vec<u64> = outcomes.iter().filter_map(|one| one.latency).collect();
        latencies.sort_unstable();
        let succeeded = latencies.len() as u64;
        let mut models: Vec<_> = self.models.into_values().collect();
        models.sort_by(|a, b| b.attempts.cmp(&a.attempts).then_with(|| a.model.cmp(&b.model)));
        let attempts = models.iter().map(|one| one.attempts).sum();
        let sum =
            |amount: fn(&Outcome) -> PicoSum| outcomes.iter().map(amount).fold(PicoSum::ZERO, |a, b| a + b);
        let (cost, charge) = (sum(|one| one.cost), sum(|one| one.charge));
        let cost_unknown = outcomes.iter().filter(|one| one.cost_is_unknown).count() as u64;
        let known = cost_unknown == 0;
        let quality = outcomes
            .iter()
            .filter_map(|one| one.good)
            .map(|good| f64::from(u8::from(good)));
        PolicyReport {
            policy,
            requests,
            succeeded,
            failed: requests - succeeded,
            success: share(succeeded, requests),
            quality: figure(quality),
            quality_unknown: outcomes
                .iter()
                .filter(|one| one.latency.is_some() && one.good.is_none())
                .count() as u64,
            cost_usd: known.then_some(cost),
            markup_usd: known.then_some(charge - cost),
            charge_usd: known.then_some(charge),
            cost_unknown,
            cost_per_success_usd: if known { mean_amount(cost, succeeded) } else { None },
            latency_p50_ms: percentile(&latencies, 50),
            latency_p95_ms: percentile(&latencies, 95),
            attempts,
            attempts_per_request: share(attempts, requests),
            failed_requests: self.failed_requests,
            failed_attempts: self.failed_attempts,
            models,
            difference: first.map(|first| Difference::new(outcomes, first)),
        }
    }
}

impl Difference {
    fn new(own: &[Outcome], first: &[Outcome]) -> Self {
        let pairs = || own.iter().zip(first);
        let number = |yes: bool| f64::from(u8::from(yes));
        let minus = |one: f64, other: f64| one - other;
        let unknown = pairs().any(|(one, other)| one.cost_is_unknown || other.cost_is_unknown);
        let costs: Vec<PicoSum> = pairs().map(|(one, other)| one.cost - other.cost).collect();
        let total = costs.iter().fold(PicoSum::ZERO, |sum, one| sum + *one);
        // How far amounts lie apart is a statistic, and not an amount.
        let spread = figure(costs.iter().map(|cost| cost.get() as f64));
        let cost = spread.filter(|_| !unknown).and_then(|spread| {
            Some(CostDifference {
                requests: spread.requests,
                mean_usd: mean_amount(total, spread.requests)?,
                se_usd: spread
                    .se
                    .and_then(|se| (se < 9e18).then(|| Pico::new(se.round() as i64))),
            })
        });
        Self {
            success: figure(
                pairs().map(|(one, other)| {
                    minus(number(one.latency.is_some()), number(other.latency.is_some()))
                }),
            ),
            quality: figure(
                pairs().filter_map(|(one, other)| Some(minus(number(one.good?), number(other.good?)))),
            ),
            cost,
            latency_ms: figure(
                pairs().filter_map(|(one, other)| Some(minus(millis(one.latency?), millis(other.latency?)))),
            ),
        }
    }
}

fn figure(values: impl Iterator<Item = f64>) -> Option<Figure> {
    let mut moments = Moments::new();
    for value in values {
        moments.push(value).ok()?;
    }
    let requests = moments.n();
    Some(Figure {
        requests,
        mean: moments.mean()?,
        se: moments
            .variance()
            .ok()
            .map(|variance| (variance / requests as f64).sqrt()),
    })
}

fn share(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

fn mean_amount(sum: PicoSum, of: u64) -> Option<Pico> {
    Pico::from_decimal(sum.to_decimal()?.checked_div(Decimal::from(of))?).ok()
}

/// The least time that so many of a hundred keep to.
fn percentile(sorted: &[u64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|nanos| millis(*nanos))
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

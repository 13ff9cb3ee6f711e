//! What a plan was made of, written down so that it can be made again.

use std::time::Duration;

use costing::{Markup, UtcTime};
use integration_core::{ModelId, ModelPattern, ProviderId};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{Plan, Reading, RouteRequest, Signals, Snapshot, Target, UnknownStrategy, Warm, strategy};

/// A request and what was known of the deployments when it was decided on: with the snapshot of the same name it gives the same
/// plan. It is the object `replay` of a plan's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PlanRecord {
    /// The snapshot that was decided on.
    pub snapshot: String,
    /// What was believed of quality.
    pub quality: String,
    request: Request,
    /// How deployments were doing, by their place in the snapshot; those of which nothing was known are left out.
    readings: Vec<(usize, Reading)>,
}

/// A request in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    task: String,
    min_quality: Option<f64>,
    confidence: Option<f64>,
    needs: Vec<String>,
    prompt_tokens: u64,
    completion_tokens: u64,
    context: Option<u64>,
    max_cost_usd: Option<String>,
    max_price_usd: Option<String>,
    max_latency_ns: Option<u64>,
    data_policy: Option<String>,
    region: Option<String>,
    only: Vec<String>,
    never: Vec<String>,
    warm: Option<WarmRecord>,
    allow_free: bool,
    strategy: String,
    seed: u64,
    turn: u64,
    max_targets: usize,
    at: i64,
    markup_bps: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WarmRecord {
    provider: ProviderId,
    model: ModelId,
    cached_tokens: u64,
}

/// Why a plan cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The snapshot is another one.
    #[error("the plan was made on {recorded}, not on {given}")]
    OtherSnapshot {
        /// That of the plan.
        recorded: String,
        /// The one at hand.
        given: String,
    },
    /// The strategy is none of this crate's: give it to [`PlanRecord::replay_with`].
    #[error(transparent)]
    Strategy(#[from] UnknownStrategy),
    /// A word or a number of the record means nothing.
    #[error("the record's `{0}` is not understood")]
    Field(&'static str),
}

/// Readings that were written down.
#[derive(Debug)]
struct Recorded(Vec<(usize, Reading)>);

impl Signals for Recorded {
    fn reading(&self, at: usize) -> Reading {
        let found = self.0.binary_search_by_key(&at, |(place, _)| *place).ok();
        found
            .and_then(|found| self.0.get(found))
            .map(|(_, reading)| *reading)
            .unwrap_or_default()
    }
}

impl PlanRecord {
    pub(crate) fn new<S: Signals + ?Sized>(snapshot: &Snapshot, request: &RouteRequest, signals: &S) -> Self {
        let known =
            |at: usize| Some((at, signals.reading(at))).filter(|(_, reading)| *reading != Reading::default());
        Self {
            snapshot: snapshot.id().to_owned(),
            quality: snapshot.quality_id().to_owned(),
            request: Request::of(request),
            readings: (0..snapshot.deployments().len()).filter_map(known).collect(),
        }
    }

    pub(crate) fn signals(&self) -> impl Signals + use<> {
        Recorded(self.readings.clone())
    }

    /// The request that was decided on.
    ///
    /// # Errors
    /// [`ReplayError`] if the record was changed by hand, or the strategy is none of this crate's.
    pub fn request(&self) -> Result<RouteRequest, ReplayError> {
        let mut request = self.request.read()?;
        request.strategy = strategy(&self.request.strategy)?;
        Ok(request)
    }

    /// Makes the plan again.
    ///
    /// # Errors
    /// [`ReplayError`] if the snapshot is another one, or the record is not understood.
    pub fn replay(&self, snapshot: &Snapshot) -> Result<Plan, ReplayError> {
        self.plan(self.request()?, snapshot)
    }

    /// Makes the plan again with a strategy of another crate.
    ///
    /// # Errors
    /// [`ReplayError`] if the snapshot is another one, or the record is not understood.
    pub fn replay_with(
        &self,
        snapshot: &Snapshot,
        strategy: std::sync::Arc<dyn crate::Strategy>,
    ) -> Result<Plan, ReplayError> {
        let mut request = self.request.read()?;
        request.strategy = strategy;
        self.plan(request, snapshot)
    }

    fn plan(&self, request: RouteRequest, snapshot: &Snapshot) -> Result<Plan, ReplayError> {
        for (recorded, given) in [
            (&*self.snapshot, snapshot.id()),
            (&*self.quality, snapshot.quality_id()),
        ] {
            if recorded != given {
                return Err(ReplayError::OtherSnapshot {
                    recorded: recorded.to_owned(),
                    given: given.to_owned(),
                });
            }
        }
        Ok(snapshot.plan_with(&request, &self.signals()))
    }
}

impl Request {
    fn of(request: &RouteRequest) -> Self {
        Self {
            task: request.task.as_str().to_owned(),
            min_quality: request.min_quality,
            confidence: request.confidence,
            needs: request
                .needs
                .iter()
                .map(|need| need.as_str().to_owned())
                .collect(),
            prompt_tokens: request.prompt_tokens,
            completion_tokens: request.completion_tokens,
            context: request.context,
            max_cost_usd: request.max_cost.map(|max| max.to_string()),
            max_price_usd: request.max_price.map(|max| max.to_string()),
            max_latency_ns: request
                .max_latency
                .map(|max| u64::try_from(max.as_nanos()).unwrap_or(u64::MAX)),
            data_policy: request.data_policy.map(|policy| policy.as_str().to_owned()),
            region: request.region.clone(),
            only: request.only.iter().map(ToString::to_string).collect(),
            never: request.never.iter().map(ToString::to_string).collect(),
            warm: request.warm.as_ref().map(|warm| WarmRecord {
                provider: warm.target.provider.clone(),
                model: warm.target.model.clone(),
                cached_tokens: warm.cached_tokens,
            }),
            allow_free: request.allow_free,
            strategy: request.strategy.word(),
            seed: request.seed,
            turn: request.turn,
            max_targets: request.max_targets,
            at: request.at.unix(),
            markup_bps: request.markup.bps(),
        }
    }

    fn read(&self) -> Result<RouteRequest, ReplayError> {
        let task = self.task.parse().map_err(|_| ReplayError::Field("task"))?;
        let mut request = RouteRequest::new(task, UtcTime::from_unix(self.at));
        let amount = |text: &Option<String>, field| match text {
            None => Ok(None),
            Some(text) => text
                .parse::<Decimal>()
                .map(Some)
                .map_err(|_| ReplayError::Field(field)),
        };
        request.min_quality = self.min_quality;
        request.confidence = self.confidence;
        request.needs = self
            .needs
            .iter()
            .map(|need| need.parse().map_err(|_| ReplayError::Field("needs")))
            .collect::<Result<_, _>>()?;
        request.prompt_tokens = self.prompt_tokens;
        request.completion_tokens = self.completion_tokens;
        request.context = self.context;
        request.max_cost = amount(&self.max_cost_usd, "max_cost_usd")?;
        request.max_price = amount(&self.max_price_usd, "max_price_usd")?;
        request.max_latency = self.max_latency_ns.map(Duration::from_nanos);
        request.data_policy = match &self.data_policy {
            None => None,
            Some(word) => Some(word.parse().map_err(|_| ReplayError::Field("data_policy"))?),
        };
        request.region.clone_from(&self.region);
        request.only = patterns(&self.only, "only")?;
        request.never = patterns(&self.never, "never")?;
        request.warm = self.warm.as_ref().map(|warm| {
            let target = Target::new(warm.provider.clone(), warm.model.clone());
            Warm::new(target, warm.cached_tokens)
        });
        request.allow_free = self.allow_free;
        request.seed = self.seed;
        request.turn = self.turn;
        request.max_targets = self.max_targets;
        request.markup = Markup::from_bps(self.markup_bps);
        Ok(request)
    }
}

fn patterns(words: &[String], field: &'static str) -> Result<Vec<ModelPattern>, ReplayError> {
    let read = |word: &String| word.parse().map_err(|_| ReplayError::Field(field));
    words.iter().map(read).collect()
}

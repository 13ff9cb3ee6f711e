//! The choice with every reason.

use costing::Pico;
use integration_core::ModelId;
use rust_decimal::Decimal;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::decision::arrange;
use crate::rules::{Rules, Verdict};
use crate::strategy::{Contender, Term, pareto_front};
use crate::{
    NoSignals, PlanRecord, Reading, Refusal, ReplayError, RouteRequest, Signals, Snapshot, Target, Task,
};

/// A model that qualifies.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// Which model, where.
    pub target: Target,
    /// Its quality on the task's index.
    pub quality: f64,
    /// What the call is expected to cost in US dollars, without markup, to the pico-dollar.
    pub expected_cost: Decimal,
    /// The same with the markup.
    pub expected_charge: Decimal,
    /// The expected cost in US dollars by what is paid for, unrounded: prompt, cache reads, completion, request.
    pub cost_parts: Vec<(&'static str, Decimal)>,
    /// How far off the quality may be, as a standard deviation.
    pub quality_sd: f64,
    /// What the strategy made of it, part by part; empty where the cost says everything.
    pub terms: Vec<Term>,
    /// How it was doing.
    pub reading: Reading,
    /// Whether no other candidate is at least as cheap, as good and as fast, and one of it more so.
    pub on_pareto_front: bool,
}

/// The size of the call that the expected cost is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Assumed {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// Which models qualify, in which order, and why the others do not.
///
/// Serialised, it is the object of `best-model --json`: `task`, `model`, `quality`, `expected_cost_usd`,
/// `expected_charge_usd` (all of the first candidate, `null` if there is none), `candidates`, `refused`, `snapshot`, `assumed`,
/// `best_quality`, `strategy`, `probability` and `replay`. Amounts are decimal strings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Which quality counted.
    pub task: Task,
    /// What qualifies, best first.
    pub candidates: Vec<Candidate>,
    /// Every other model of the snapshot, by id.
    pub refused: Vec<Refusal>,
    /// The snapshot that was decided on.
    pub snapshot: String,
    /// The size of the call that the expected costs are for.
    pub assumed: Assumed,
    /// The strategy that put the candidates in order, with its parameters.
    pub strategy: String,
    /// With which probability the first candidate was chosen: 1 where nothing was left to chance.
    pub probability: f64,
    /// What the plan was made of.
    pub record: PlanRecord,
    /// The model of the highest quality that fulfils everything but, perhaps, the threshold, and its quality: how far up the
    /// threshold can go. Of equal ones the lower id; `None` if no model fulfils the rest.
    pub best_quality: Option<(ModelId, f64)>,
}

impl Plan {
    /// The candidate to ask first.
    pub fn chosen(&self) -> Option<&Candidate> {
        self.candidates.first()
    }

    /// Makes the plan again from what it was made of.
    ///
    /// # Errors
    /// [`ReplayError`] if the snapshot is another one, or the strategy is none of this crate's.
    pub fn replay(&self, snapshot: &Snapshot) -> Result<Self, ReplayError> {
        self.record.replay(snapshot)
    }
}

impl Snapshot {
    /// Decides with reasons: what qualifies, in order, and for every other model the first rule it fails, in the order of
    /// [`crate::RefusalReason`]. Pure: the same snapshot and request give the same plan. Nothing is known of how the deployments
    /// are doing.
    pub fn plan(&self, request: &RouteRequest) -> Plan {
        self.plan_with(request, &NoSignals)
    }

    /// Like [`plan`](Self::plan), knowing how the deployments are doing.
    pub fn plan_with<S: Signals + ?Sized>(&self, request: &RouteRequest, signals: &S) -> Plan {
        // Written down first, and read from there: what moves while the plan is made would make another plan of the record.
        let record = PlanRecord::new(self, request, signals);
        let signals = record.signals();
        let rules = Rules::new(request);
        let mut contenders = Vec::new();
        let mut refused = Vec::new();
        let mut best: Option<(usize, f64)> = None;
        for (at, deployment) in self.deployments().iter().enumerate() {
            let reading = signals.reading(at);
            let (quality, failed) = match rules.judge(deployment, &reading) {
                Verdict::Fits(fit) => {
                    let mut contender = Contender::new(at, fit.cost, fit.quality, reading);
                    contender.is_warm = fit.is_warm;
                    contender.weight = deployment.facts.weight;
                    contenders.push(contender);
                    (Some(rules.counts(fit.quality)), None)
                }
                Verdict::OnlyTooWeak { failed, quality } => (Some(quality), Some(failed)),
                Verdict::Refused(failed) => (None, Some(failed)),
            };
            if let Some(quality) = quality
                && best.is_none_or(|(_, so_far)| quality > so_far)
            {
                best = Some((at, quality));
            }
            refused.extend(failed.map(|failed| failed.refusal(&deployment.target.model, request)));
        }
        let probability = arrange(request, &mut contenders);
        let front = pareto_front(request, &contenders);
        let candidate = |(place, one): (usize, &Contender)| {
            let deployment = self.deployments().get(one.at)?;
            let cost = rules.parts(deployment, deployment.prices()?).ok()?;
            Some(Candidate {
                target: deployment.target.clone(),
                quality: one.quality.mean,
                quality_sd: one.quality.sd,
                expected_cost: one.cost.to_decimal(),
                expected_charge: rules.charge(one.cost).map(Pico::to_decimal)?,
                cost_parts: cost
                    .lines()
                    .map(|line| (line.bucket.as_str(), line.amount))
                    .collect(),
                terms: request.strategy.terms(request, &contenders, one),
                reading: one.reading,
                on_pareto_front: front.contains(&place),
            })
        };
        let best_quality =
            best.and_then(|(at, quality)| Some((self.deployments().get(at)?.target.model.clone(), quality)));
        Plan {
            task: request.task,
            candidates: contenders.iter().enumerate().filter_map(candidate).collect(),
            refused,
            snapshot: self.id().to_owned(),
            assumed: Assumed {
                prompt_tokens: request.prompt_tokens,
                completion_tokens: request.completion_tokens,
            },
            strategy: request.strategy.word(),
            probability,
            record,
            best_quality,
        }
    }
}

/// An amount as a decimal string: a JSON number could pass through a float on its way.
pub(crate) struct Amount(pub(crate) Decimal);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.normalize())
    }
}

/// Named amounts as an object.
pub(crate) struct Amounts<'a>(pub(crate) &'a [(&'static str, Decimal)]);

impl Serialize for Amounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, amount)| (*name, Amount(*amount))))
    }
}

struct Terms<'a>(&'a [Term]);

impl Serialize for Terms<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|term| (term.name, term.value)))
    }
}

impl Serialize for Candidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Candidate", 10)?;
        object.serialize_field("provider", &self.target.provider)?;
        object.serialize_field("model", &self.target.model)?;
        object.serialize_field("quality", &self.quality)?;
        object.serialize_field("quality_sd", &self.quality_sd)?;
        object.serialize_field("expected_cost_usd", &Amount(self.expected_cost))?;
        object.serialize_field("expected_charge_usd", &Amount(self.expected_charge))?;
        object.serialize_field("cost_parts_usd", &Amounts(&self.cost_parts))?;
        object.serialize_field("terms", &Terms(&self.terms))?;
        object.serialize_field("reading", &self.reading)?;
        object.serialize_field("on_pareto_front", &self.on_pareto_front)?;
        object.end()
    }
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Refusal", 3)?;
        object.serialize_field("model", &self.model)?;
        object.serialize_field("reason", self.reason.as_str())?;
        object.serialize_field("detail", &self.detail)?;
        object.end()
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Best<'a> {
            model: &'a ModelId,
            quality: f64,
        }
        let chosen = self.chosen();
        let best = self.best_quality.as_ref().map(|(model, quality)| Best {
            model,
            quality: *quality,
        });
        let mut object = serializer.serialize_struct("Plan", 13)?;
        object.serialize_field("task", self.task.as_str())?;
        object.serialize_field("model", &chosen.map(|candidate| &candidate.target.model))?;
        object.serialize_field("quality", &chosen.map(|candidate| candidate.quality))?;
        object.serialize_field(
            "expected_cost_usd",
            &chosen.map(|candidate| Amount(candidate.expected_cost)),
        )?;
        object.serialize_field(
            "expected_charge_usd",
            &chosen.map(|candidate| Amount(candidate.expected_charge)),
        )?;
        object.serialize_field("candidates", &self.candidates)?;
        object.serialize_field("refused", &self.refused)?;
        object.serialize_field("snapshot", &self.snapshot)?;
        object.serialize_field("assumed", &self.assumed)?;
        object.serialize_field("best_quality", &best)?;
        object.serialize_field("strategy", &self.strategy)?;
        object.serialize_field("probability", &self.probability)?;
        object.serialize_field("replay", &self.record)?;
        object.end()
    }
}

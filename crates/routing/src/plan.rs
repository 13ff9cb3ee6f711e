//! The choice with every reason.

use costing::Pico;
use integration_core::ModelId;
use rust_decimal::Decimal;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::decision::{Survivor, order};
use crate::rules::{Rules, Verdict};
use crate::{Refusal, RouteRequest, Snapshot, Target, Task};

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
/// `expected_charge_usd` (all of the first candidate, `null` if there is none), `candidates`, `refused`, `snapshot`, `assumed`
/// and `best_quality`. Amounts are decimal strings.
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
    /// The model of the highest quality that fulfils everything but, perhaps, the threshold, and its quality: how far up the
    /// threshold can go. Of equal ones the lower id; `None` if no model fulfils the rest.
    pub best_quality: Option<(ModelId, f64)>,
}

impl Plan {
    /// The candidate to ask first.
    pub fn chosen(&self) -> Option<&Candidate> {
        self.candidates.first()
    }
}

impl Snapshot {
    /// Decides with reasons: what qualifies, in order, and for every other model the first rule it fails, in the order of
    /// [`crate::RefusalReason`]. Pure: the same snapshot and request give the same plan.
    pub fn plan(&self, request: &RouteRequest) -> Plan {
        let rules = Rules::new(request);
        let mut survivors = Vec::new();
        let mut refused = Vec::new();
        let mut best: Option<(usize, f64)> = None;
        for (at, deployment) in self.deployments().iter().enumerate() {
            let (quality, failed) = match rules.judge(deployment) {
                Verdict::Fits(fit) => {
                    survivors.push(Survivor {
                        cost: fit.cost,
                        quality: fit.quality,
                        at,
                    });
                    (Some(fit.quality), None)
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
        order(&mut survivors, request.strategy);
        let candidate = |survivor: &Survivor| {
            let deployment = self.deployments().get(survivor.at)?;
            Some(Candidate {
                target: deployment.target.clone(),
                quality: survivor.quality,
                expected_cost: survivor.cost.to_decimal(),
                expected_charge: rules.charge(survivor.cost).map(Pico::to_decimal)?,
            })
        };
        let best_quality =
            best.and_then(|(at, quality)| Some((self.deployments().get(at)?.target.model.clone(), quality)));
        Plan {
            task: request.task,
            candidates: survivors.iter().filter_map(candidate).collect(),
            refused,
            snapshot: self.id().to_owned(),
            assumed: Assumed {
                prompt_tokens: request.prompt_tokens,
                completion_tokens: request.completion_tokens,
            },
            best_quality,
        }
    }
}

/// An amount as a decimal string: a JSON number could pass through a float on its way.
struct Amount(Decimal);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.normalize())
    }
}

impl Serialize for Candidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Candidate", 4)?;
        object.serialize_field("model", &self.target.model)?;
        object.serialize_field("quality", &self.quality)?;
        object.serialize_field("expected_cost_usd", &Amount(self.expected_cost))?;
        object.serialize_field("expected_charge_usd", &Amount(self.expected_charge))?;
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
        let mut object = serializer.serialize_struct("Plan", 10)?;
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
        object.end()
    }
}

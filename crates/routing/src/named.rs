//! Models that the caller names instead of leaving the choice: what is known of each, and why one is passed over.

use std::time::Instant;

use costing::Pico;
use integration_core::ModelId;
use rust_decimal::Decimal;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::plan::{Amount, Amounts};
use crate::rules::Rules;
use crate::{Assumed, Belief, Reading, Refusal, RouteRequest, Signals, Snapshot, Target, Task, View};

/// A model that a call would go to because its name was given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Named {
    /// The id it is listed under.
    pub listed: ModelId,
    /// What is asked for; it may have a suffix that the provider reads.
    pub target: Target,
    /// Where the name comes from, in words for people.
    pub why: &'static str,
}

impl Named {
    /// A name, what it leads to, and where it comes from.
    pub const fn new(listed: ModelId, target: Target, why: &'static str) -> Self {
        Self { listed, target, why }
    }
}

/// A named model that may serve the request, with what is known of it. Naming it is choosing it, so much of that may be unknown.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NamedCandidate {
    /// Which model, where.
    pub target: Target,
    /// Why it is in the list.
    pub why: &'static str,
    /// What is believed of its quality for the task.
    pub quality: Option<Belief>,
    /// What the call is expected to cost in US dollars, without markup, to the pico-dollar.
    pub expected_cost: Option<Decimal>,
    /// The same with the markup.
    pub expected_charge: Option<Decimal>,
    /// The expected cost by what is paid for, unrounded; empty where it is unknown.
    pub cost_parts: Vec<(&'static str, Decimal)>,
    /// Why the expected cost is unknown; `None` if it is known.
    pub unpriced: Option<String>,
    /// How it was doing.
    pub reading: Reading,
}

/// Which named models a call goes to, in the order of their names, and why the others are passed over. Nothing was chosen, so
/// nothing was compared.
///
/// Serialised it has the keys of a [`Plan`](crate::Plan). What a comparison would tell (`best_quality`, `on_pareto_front`, `replay`)
/// and what is not known is `null`; `strategy` is `named`, and a candidate has `why` and, where its cost is unknown, `unpriced`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NamedPlan {
    /// Which quality is shown.
    pub task: Task,
    /// What may serve the request, in the order in which it is asked.
    pub candidates: Vec<NamedCandidate>,
    /// What may not, in the order of the names.
    pub refused: Vec<Refusal>,
    /// The snapshot that was looked at.
    pub snapshot: String,
    /// The size of the call that the expected costs are for.
    pub assumed: Assumed,
    /// What put the candidates in order: `named` for the order of the names.
    pub order: &'static str,
}

impl Snapshot {
    /// What becomes of models that are named: each is held against the request as by [`check_explicit`](Self::check_explicit).
    pub fn named_with<S: Signals + ?Sized>(
        &self,
        named: &[Named],
        request: &RouteRequest,
        signals: &S,
    ) -> NamedPlan {
        let rules = Rules::new(request);
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        for one in named {
            match self.check_explicit(&one.listed, request) {
                Some(refusal) => refused.push(refusal),
                None => candidates.extend(self.candidate(&rules, one, signals)),
            }
        }
        NamedPlan {
            task: request.task,
            candidates,
            refused,
            snapshot: self.id().to_owned(),
            assumed: Assumed {
                prompt_tokens: request.prompt_tokens,
                completion_tokens: request.completion_tokens,
            },
            order: "named",
        }
    }

    fn candidate<S: Signals + ?Sized>(
        &self,
        rules: &Rules<'_>,
        named: &Named,
        signals: &S,
    ) -> Option<NamedCandidate> {
        let listed = Target::new(named.target.provider.clone(), named.listed.clone());
        let at = self.place(&listed)?;
        let deployment = self.deployments().get(at)?;
        let (cost, unpriced) = match rules.cost(deployment) {
            Ok(cost) => (Some(cost), None),
            Err(failed) => (None, Some(failed.refusal(&named.listed, rules.request).detail)),
        };
        let parts = cost.and_then(|_| rules.parts(deployment, deployment.prices()?).ok());
        Some(NamedCandidate {
            target: named.target.clone(),
            why: named.why,
            quality: deployment.belief(rules.request.task),
            expected_cost: cost.map(Pico::to_decimal),
            expected_charge: cost.and_then(|cost| rules.charge(cost)).map(Pico::to_decimal),
            cost_parts: parts.map_or_else(Vec::new, |parts| {
                let lines = parts.lines();
                lines.map(|line| (line.bucket.as_str(), line.amount)).collect()
            }),
            unpriced,
            reading: signals.reading(at),
        })
    }
}

impl View {
    /// What becomes of models that are named, with how they are doing. One that is left alone for now is asked all the same.
    pub fn named(&self, named: &[Named], request: &RouteRequest, now: Instant) -> NamedPlan {
        self.snapshot().named_with(named, request, &self.live().at(now))
    }
}

impl Serialize for NamedCandidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("NamedCandidate", 12)?;
        object.serialize_field("provider", &self.target.provider)?;
        object.serialize_field("model", &self.target.model)?;
        object.serialize_field("why", self.why)?;
        object.serialize_field("quality", &self.quality.map(|belief| belief.mean))?;
        object.serialize_field("quality_sd", &self.quality.map(|belief| belief.sd))?;
        object.serialize_field("expected_cost_usd", &self.expected_cost.map(Amount))?;
        object.serialize_field("expected_charge_usd", &self.expected_charge.map(Amount))?;
        object.serialize_field("cost_parts_usd", &Amounts(&self.cost_parts))?;
        if let Some(why) = &self.unpriced {
            object.serialize_field("unpriced", why)?;
        }
        object.serialize_field("terms", &Amounts(&[]))?;
        object.serialize_field("reading", &self.reading)?;
        object.serialize_field("on_pareto_front", &())?;
        object.end()
    }
}

impl Serialize for NamedPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let first = self.candidates.first();
        let mut object = serializer.serialize_struct("NamedPlan", 13)?;
        object.serialize_field("task", self.task.as_str())?;
        object.serialize_field("model", &first.map(|one| &one.target.model))?;
        object.serialize_field(
            "quality",
            &first.and_then(|one| one.quality).map(|belief| belief.mean),
        )?;
        object.serialize_field(
            "expected_cost_usd",
            &first.and_then(|one| one.expected_cost).map(Amount),
        )?;
        object.serialize_field(
            "expected_charge_usd",
            &first.and_then(|one| one.expected_charge).map(Amount),
        )?;
        object.serialize_field("candidates", &self.candidates)?;
        object.serialize_field("refused", &self.refused)?;
        object.serialize_field("snapshot", &self.snapshot)?;
        object.serialize_field("assumed", &self.assumed)?;
        object.serialize_field("best_quality", &())?;
        object.serialize_field("strategy", self.order)?;
        object.serialize_field("probability", &1.0)?;
        object.serialize_field("replay", &())?;
        object.end()
    }
}

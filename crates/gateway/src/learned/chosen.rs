//! What a learned policy chose for a request, and what is told of it.

use costing::AttemptIntent;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LearnedCheck, LearnedPolicy, View, is_drawn};

/// Why a model is asked.
const CHOSEN: &str = "chosen by the learned policy";
const REFERENCE: &str = "the reference of the learned policy";
const NEXT_BEST: &str = "the next best of the learned policy";

/// A choice that was made for a request.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(super) policy: String,
    /// The SHA-256 of the file that was chosen by.
    pub(super) file: String,
    /// By what it was chosen, in a word.
    pub(super) basis: &'static str,
    pub(super) tag: Option<String>,
    /// How probable the choice was.
    pub(super) propensity: f64,
    /// The models to ask, in order, and why each is there.
    pub(super) order: Vec<(String, &'static str)>,
    /// What an answer of the first is held against.
    pub(super) check: Option<LearnedCheck>,
    pub(super) label: Option<Wanted>,
    /// For those who want to know: by model the predicted score and the expected cost in US dollars.
    pub(super) predicted: Vec<(String, f32, String)>,
}

/// A label that may be asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) share: f64,
    /// Of these models.
    pub(super) models: Vec<String>,
}

/// The models to ask: the chosen one, the reference, then the others with the best first. Why each is there stands beside it.
pub(super) fn order(
    models: &[String],
    predicted: &[f32],
    chosen: usize,
    reference: Option<usize>,
) -> Vec<(String, &'static str)> {
    let score = |model: &usize| predicted.get(*model).copied().unwrap_or_default();
    let mut others: Vec<usize> = (0..models.len()).collect();
    others.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let first = [(Some(chosen), CHOSEN), (reference, REFERENCE)];
    let first = first.into_iter().filter_map(|(model, why)| Some((model?, why)));
    let mut order: Vec<(String, &'static str)> = Vec::new();
    for (model, why) in first.chain(others.into_iter().map(|model| (model, NEXT_BEST))) {
        if let Some(name) = models.get(model)
            && !order.iter().any(|(before, _)| before == name)
        {
            order.push((name.clone(), why));
        }
    }
    order
}

impl Chosen {
    /// A choice by predicted scores. `told`: those, for who wants to know.
    pub(super) fn of_predicted(
        policy: &LearnedPolicy,
        basis: &'static str,
        tag: Option<&str>,
        propensity: f64,
        order: Vec<(String, &'static str)>,
        label: Option<Wanted>,
        told: Option<&View>,
    ) -> Self {
        let models = policy.predictor.models();
        let predicted = told.map_or_else(Vec::new, |view| {
            let of_models = models.iter().zip(view.predicted.iter().zip(&view.expected));
            of_models
                .map(|(model, (score, cost))| (model.clone(), *score, cost.to_string()))
                .collect()
        });
        Self {
            policy: policy.name.clone(),
            file: policy.file().to_owned(),
            basis,
            tag: tag.map(str::to_owned),
            propensity,
            order,
            check: None,
            label,
            predicted,
        }
    }

    /// The models to ask, in order. Why each is there stands beside it.
    pub(crate) fn order(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.order.iter().map(|(model, why)| (model.as_str(), *why))
    }

    /// The first model, and what an answer of it is held against before the next is asked.
    pub(crate) fn check(&self) -> Option<(&str, &LearnedCheck)> {
        let (first, _) = self.order.first()?;
        Some((first, self.check.as_ref()?))
    }

    fn drawn(&self, request: &str) -> Option<&Wanted> {
        let label = self.label.as_ref();
        label.filter(|wanted| is_drawn(request, wanted.share))
    }

    /// What the ledger keeps of the choice. `request`: as for [`json`](Self::json).
    pub(crate) fn decision(&self, request: &str) -> Option<String> {
        let (model, _) = self.order.first()?;
        let decision = Decision {
            policy: self.policy.clone(),
            file: self.file.clone(),
            basis: self.basis.to_owned(),
            tag: self.tag.clone(),
            model: model.clone(),
            propensity: self.propensity,
            label: self.drawn(request).is_some(),
        };
        serde_json::to_string(&decision).ok()
    }

    /// What an answer tells of the choice. `request`: the call's name, by which labels are drawn.
    pub(crate) fn json(&self, request: &str) -> Value {
        let mut told = json!({
            "policy": self.policy,
            "basis": self.basis,
            "model": self.order.first().map(|(model, _)| model),
            "propensity": self.propensity,
            "tag": self.tag,
        });
        if let Some(wanted) = self.drawn(request) {
            told["label"] = json!({ "models": wanted.models });
        }
        if !self.predicted.is_empty() {
            let of_model = |(model, score, cost): &(String, f32, String)| json!({ "model": model, "score": score, "expected_cost_usd": cost });
            told["predicted"] = self.predicted.iter().map(of_model).collect();
        }
        told
    }
}

/// What the ledger keeps of a choice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) policy: String,
    /// The SHA-256 of the file that was chosen by.
    pub(crate) file: String,
    pub(crate) basis: String,
    pub(crate) tag: Option<String>,
    /// The chosen model.
    pub(crate) model: String,
    /// How probable it was.
    pub(crate) propensity: f64,
    /// Whether a label was asked for.
    pub(crate) label: bool,
}

impl Decision {
    /// That of an attempt; `None` where no learned policy chose.
    pub(crate) fn of(intent: &AttemptIntent) -> Option<Self> {
        serde_json::from_str(intent.decision.as_deref()?).ok()
    }
}

//! What a model must fulfil, rule by rule, and why it is refused.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use costing::{Charge, Cost, CostStatus, Pico, PriceKey, Quantities};
use integration_core::{Capability, CapabilitySet, ModelId, ModelPattern, Usage};
use model_catalogue::Day;
use rust_decimal::Decimal;

use crate::strategy::expected_ms;
use crate::{Belief, DataPolicy, Deployment, Reading, RouteRequest, Snapshot};

/// Why a model is refused. Not exhaustive.
///
/// The rules are looked at in the order below, and the first one that fails is the reason given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// No such model is in the snapshot. Only for models asked for by name.
    UnknownModel,
    /// It answers hours later (`:batch`).
    BatchVariant,
    /// Its id is another name (`~…`) whose target moves.
    Alias,
    /// Its price depends on the request and is only known afterwards.
    DynamicPrice,
    /// It has no price, or one that is not understood, for what the request uses.
    Unpriced,
    /// It does not answer in text.
    NoTextOutput,
    /// Its expiration date has passed.
    Expired,
    /// It is the free, strongly limited variant of a model (`:free`), and free ones were not allowed.
    FreeTier,
    /// It lacks an ability that is needed.
    MissingCapability,
    /// Prompt and answer, or the context asked for, do not fit.
    ContextTooSmall,
    /// Nobody has measured it for the task. Unknown quality never qualifies, with or without a threshold.
    QualityUnknown,
    /// It is not good enough.
    QualityBelowThreshold,
    /// The caller forbids it, or does not name it among those allowed.
    Forbidden,
    /// It does not promise enough of the caller's data, or nothing is known of it.
    DataPolicy,
    /// It is not known to serve in the region.
    Region,
    /// It is left alone for now: in cooldown, or its circuit breaker is open.
    Cooling,
    /// It is known to be too slow.
    TooSlow,
    /// The call is expected to cost too much.
    OverMaxCost,
    /// A million of its tokens cost too much.
    OverMaxPrice,
}

impl RefusalReason {
    /// A stable word for JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownModel => "unknown_model",
            Self::BatchVariant => "batch_variant",
            Self::Alias => "alias",
            Self::DynamicPrice => "dynamic_price",
            Self::Unpriced => "unpriced",
            Self::NoTextOutput => "no_text_output",
            Self::Expired => "expired",
            Self::FreeTier => "free_tier",
            Self::MissingCapability => "missing_capability",
            Self::ContextTooSmall => "context_too_small",
            Self::QualityUnknown => "quality_unknown",
            Self::QualityBelowThreshold => "quality_below_threshold",
            Self::Forbidden => "forbidden",
            Self::DataPolicy => "data_policy",
            Self::Region => "region",
            Self::Cooling => "cooling",
            Self::TooSlow => "too_slow",
            Self::OverMaxCost => "over_max_cost",
            Self::OverMaxPrice => "over_max_price",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A model that is not chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Which model.
    pub model: ModelId,
    /// The first rule it fails.
    pub reason: RefusalReason,
    /// The same as a phrase with figures, such as "scores 41.2, below 50".
    pub detail: String,
}

/// A failed rule with its figures. Cheap to make: it is turned into words only where somebody reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failed<'a> {
    Batch,
    Alias(Option<&'a ModelId>),
    DynamicPrice,
    NoPrices,
    Unpriced(costing::Unpriced),
    BeyondMoney,
    NoTextOutput,
    Expired(&'a str),
    FreeTier,
    Missing(CapabilitySet),
    Context {
        has: u64,
        needs: u64,
    },
    ContextUnknown {
        needs: u64,
    },
    Answer {
        has: u64,
        needs: u64,
    },
    QualityUnknown,
    QualityBelow {
        has: f64,
        needs: f64,
    },
    QualityUnsure {
        low: f64,
        has: f64,
        needs: f64,
    },
    Forbidden,
    NotAllowed,
    DataPolicy(Option<DataPolicy>),
    Region,
    Cooling,
    TooSlow {
        has: f64,
        max: Duration,
    },
    OverMaxCost {
        cost: Pico,
        max: Decimal,
    },
    OverMaxPrice {
        what: &'static str,
        price: Decimal,
        max: Decimal,
    },
}

impl Failed<'_> {
    pub(crate) fn reason(&self) -> RefusalReason {
        match self {
            Self::Batch => RefusalReason::BatchVariant,
            Self::Alias(_) => RefusalReason::Alias,
            Self::DynamicPrice => RefusalReason::DynamicPrice,
            Self::NoPrices | Self::Unpriced(_) | Self::BeyondMoney => RefusalReason::Unpriced,
            Self::NoTextOutput => RefusalReason::NoTextOutput,
            Self::Expired(_) => RefusalReason::Expired,
            Self::FreeTier => RefusalReason::FreeTier,
            Self::Missing(_) => RefusalReason::MissingCapability,
            Self::Context { .. } | Self::ContextUnknown { .. } | Self::Answer { .. } => {
                RefusalReason::ContextTooSmall
            }
            Self::QualityUnknown => RefusalReason::QualityUnknown,
            Self::QualityBelow { .. } | Self::QualityUnsure { .. } => RefusalReason::QualityBelowThreshold,
            Self::Forbidden | Self::NotAllowed => RefusalReason::Forbidden,
            Self::DataPolicy(_) => RefusalReason::DataPolicy,
            Self::Region => RefusalReason::Region,
            Self::Cooling => RefusalReason::Cooling,
            Self::TooSlow { .. } => RefusalReason::TooSlow,
            Self::OverMaxCost { .. } => RefusalReason::OverMaxCost,
            Self::OverMaxPrice { .. } => RefusalReason::OverMaxPrice,
        }
    }

    fn detail(&self, request: &RouteRequest) -> String {
        match self {
            Self::Batch => "answers in batches only, hours later".to_owned(),
            Self::Alias(Some(target)) => format!("is another name, today for {target}; name that model"),
            Self::Alias(None) => "is another name for a model that changes; name the model itself".to_owned(),
            Self::DynamicPrice => {
                "has a price that depends on the request and is known only afterwards".to_owned()
            }
            Self::NoPrices => "has no prices, or prices that are not understood".to_owned(),
            Self::Unpriced(why) => format!("cannot be priced: {why}"),
            Self::BeyondMoney => "would cost more than can be held".to_owned(),
            Self::NoTextOutput => "does not answer in text".to_owned(),
            Self::Expired(date) => format!("expired after {date}"),
            Self::FreeTier => "is a free variant with strong limits; allow free ones to use it".to_owned(),
            Self::Missing(capabilities) => format!("lacks {capabilities}"),
            Self::Context { has, needs } => format!("holds {has} tokens, {needs} are needed"),
            Self::ContextUnknown { needs } => {
                format!("has no known context length, {needs} tokens are needed")
            }
            Self::Answer { has, needs } => format!("answers with at most {has} tokens, {needs} are needed"),
            Self::QualityUnknown => format!("has no measured quality for {}", request.task),
            Self::QualityUnsure { low, has, needs } => {
                format!("scores {has}, but no more than {low:.1} is sure enough, below {needs}")
            }
            Self::QualityBelow { has, needs } => format!("scores {has}, below {needs}"),
            Self::Forbidden => "is forbidden by the caller".to_owned(),
            Self::NotAllowed => "is not among those that the caller allows".to_owned(),
            Self::DataPolicy(None) => "promises nothing of the data it is sent".to_owned(),
            Self::DataPolicy(Some(has)) => format!("promises {has} only"),
            Self::Region => format!(
                "is not known to serve in {}",
                request.region.as_deref().unwrap_or_default()
            ),
            Self::Cooling => "is left alone for now after failures".to_owned(),
            Self::TooSlow { has, max } => {
                format!("takes about {has:.0} ms, over {} ms", max.as_millis())
            }
            Self::OverMaxCost { cost, max } => {
                format!("is expected to cost {cost} USD, over {}", max.normalize())
            }
            Self::OverMaxPrice { what, price, max } => {
                format!(
                    "takes {} USD for a million {what} tokens, over {}",
                    price.normalize(),
                    max.normalize()
                )
            }
        }
    }

    pub(crate) fn refusal(&self, model: &ModelId, request: &RouteRequest) -> Refusal {
        Refusal {
            model: model.clone(),
            reason: self.reason(),
            detail: self.detail(request),
        }
    }
}

const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// A threshold that is no number lets nothing through.
fn is_below(quality: f64, needs: f64) -> bool {
    quality.partial_cmp(&needs).is_none_or(Ordering::is_lt)
}

/// How many standard deviations below the mean lies what is reached with a confidence, from 0 up.
fn deviations_below(confidence: f64) -> f64 {
    Belief::new(0.0, 1.0).map_or(0.0, |standard| (-standard.lower(confidence)).max(0.0))
}

/// A request with what is worked out once for all models.
pub(crate) struct Rules<'r> {
    pub(crate) request: &'r RouteRequest,
    today: Day,
    /// What the call is assumed to use, priced by the function that prices answers.
    assumed: Quantities,
    /// How many deviations below the mean the quality counts.
    below: f64,
    /// The same where a part of the prompt is in a cache.
    warm: Option<Quantities>,
}

/// What a model that fulfils the rules costs and scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fit {
    pub(crate) cost: Pico,
    pub(crate) quality: Belief,
    pub(crate) is_warm: bool,
}

/// The outcome of all rules for one model.
pub(crate) enum Verdict<'a> {
    Fits(Fit),
    /// It fails the quality threshold and nothing else.
    OnlyTooWeak {
        failed: Failed<'a>,
        quality: f64,
    },
    Refused(Failed<'a>),
}

impl<'r> Rules<'r> {
    pub(crate) fn new(request: &'r RouteRequest) -> Self {
        let assumed = Quantities::of_tokens(request.prompt_tokens, request.completion_tokens);
        let warm = request.warm.as_ref().and_then(|warm| {
            let mut usage = Usage::of_tokens(request.prompt_tokens, request.completion_tokens);
            usage.cached_tokens = Some(warm.cached_tokens.min(request.prompt_tokens));
            Quantities::from_usage(&usage).ok()
        });
        Self {
            request,
            today: Day::from_unix(request.at.unix()),
            assumed,
            below: request.confidence.map_or(0.0, deviations_below),
            warm,
        }
    }

    pub(crate) fn judge<'a>(&self, model: &'a Deployment, reading: &Reading) -> Verdict<'a> {
        match self.try_judge(model, reading) {
            Ok(verdict) => verdict,
            Err(failed) => Verdict::Refused(failed),
        }
    }

    /// The rules in the order of [`RefusalReason`].
    fn try_judge<'a>(&self, model: &'a Deployment, reading: &Reading) -> Result<Verdict<'a>, Failed<'a>> {
        self.synchronous(model)?;
        let (cost, is_warm) = (self.cost(model)?, self.is_warm(model));
        self.able(model)?;
        if model.is_free_variant && !self.request.allow_free {
            return Err(Failed::FreeTier);
        }
        self.needs(model)?;
        self.room(model)?;
        let belief = self.quality(model)?;
        // What the threshold is held against, and could be raised to.
        let quality = self.counts(belief);
        match self.request.min_quality {
            Some(needs) if is_below(quality, needs) => {
                let failed = self.too_weak(belief, needs);
                let allowed = self.conditions(model, reading).is_ok() && self.limits(model, cost).is_ok();
                Ok(if allowed {
                    Verdict::OnlyTooWeak { failed, quality }
                } else {
                    Verdict::Refused(failed)
                })
            }
            _ => {
                self.conditions(model, reading)?;
                self.limits(model, cost)?;
                Ok(Verdict::Fits(Fit {
                    cost,
                    quality: belief,
                    is_warm,
                }))
            }
        }
    }

    /// The same as [`judge`](Self::judge) for a deployment of which the index has told that it can be chosen, has the abilities, is
    /// no unwanted free variant and is good enough. `known`: its expected cost, where it is worked out already.
    pub(crate) fn judge_rest(
        &self,
        model: &Deployment,
        known: Option<Pico>,
        quality: Belief,
        reading: &Reading,
    ) -> Option<Fit> {
        if self.below > 0.0
            && self
                .request
                .min_quality
                .is_some_and(|needs| is_below(self.counts(quality), needs))
        {
            return None;
        }
        self.able(model).and_then(|()| self.room(model)).ok()?;
        let is_warm = self.is_warm(model);
        let cost = match known {
            Some(cost) => {
                // Far from the end of what can be held, the charge is not worked out to see whether it can be.
                let small = cost.get() < i64::MAX >> 16 && self.request.markup.bps() < 1 << 16;
                if !small {
                    self.charge(cost)?;
                }
                cost
            }
            None => self.cost(model).ok()?,
        };
        self.conditions(model, reading).ok()?;
        self.limits(model, cost).ok()?;
        Some(Fit {
            cost,
            quality,
            is_warm,
        })
    }

    /// The quality that is held against the threshold.
    pub(crate) fn counts(&self, belief: Belief) -> f64 {
        if self.below > 0.0 {
            belief.mean - self.below * belief.sd
        } else {
            belief.mean
        }
    }

    fn too_weak<'a>(&self, belief: Belief, needs: f64) -> Failed<'a> {
        let has = belief.mean;
        if self.below > 0.0 && !is_below(has, needs) {
            Failed::QualityUnsure {
                low: self.counts(belief),
                has,
                needs,
            }
        } else {
            Failed::QualityBelow { has, needs }
        }
    }

    pub(crate) fn is_warm(&self, model: &Deployment) -> bool {
        self.request
            .warm
            .as_ref()
            .is_some_and(|warm| warm.target == model.target)
    }

    fn quality<'a>(&self, model: &'a Deployment) -> Result<Belief, Failed<'a>> {
        model.belief(self.request.task).ok_or(Failed::QualityUnknown)
    }

    /// What the caller forbids, demands of data and place, and how the deployment is doing.
    fn conditions<'a>(&self, model: &'a Deployment, reading: &Reading) -> Result<(), Failed<'a>> {
        let request = self.request;
        self.permitted(model)?;
        if reading.cooling {
            return Err(Failed::Cooling);
        }
        match (request.max_latency, expected_ms(request, reading)) {
            (Some(max), Some(has)) if has > max.as_secs_f64() * 1_000.0 => Err(Failed::TooSlow { has, max }),
            _ => Ok(()),
        }
    }

    fn permitted<'a>(&self, model: &'a Deployment) -> Result<(), Failed<'a>> {
        let request = self.request;
        let means = |patterns: &[ModelPattern]| {
            patterns
                .iter()
                .any(|pattern| pattern.matches(&model.target.model))
        };
        if means(&request.never) {
            return Err(Failed::Forbidden);
        }
        if !request.only.is_empty() && !means(&request.only) {
            return Err(Failed::NotAllowed);
        }
        if request
            .data_policy
            .is_some_and(|policy| !model.facts.keep(policy))
        {
            return Err(Failed::DataPolicy(model.facts.data_policy));
        }
        match &request.region {
            Some(region) if !model.facts.regions.contains(region) => Err(Failed::Region),
            _ => Ok(()),
        }
    }

    /// What also holds for a model that the caller names: everything but the free tier (naming it is allowing it), and
    /// quality and prices, unless a limit has to be held against them.
    fn check_named<'a>(&self, model: &'a Deployment) -> Result<(), Failed<'a>> {
        self.synchronous(model)?;
        self.able(model)?;
        self.needs(model)?;
        self.room(model)?;
        self.permitted(model)?;
        if let Some(needs) = self.request.min_quality {
            let belief = self.quality(model)?;
            if is_below(self.counts(belief), needs) {
                return Err(self.too_weak(belief, needs));
            }
        }
        if self.request.max_cost.is_some() || self.request.max_price.is_some() {
            self.limits(model, self.cost(model)?)?;
        }
        Ok(())
    }

    fn synchronous<'a>(&self, model: &'a Deployment) -> Result<(), Failed<'a>> {
        if model.is_batch {
            return Err(Failed::Batch);
        }
        if model.is_alias {
            return Err(Failed::Alias(model.alias_target.as_ref()));
        }
        Ok(())
    }

    /// What the call is expected to cost, or why nobody can say.
    pub(crate) fn cost<'a>(&self, model: &'a Deployment) -> Result<Pico, Failed<'a>> {
        let sheet = model.prices.as_ref().ok_or(Failed::NoPrices)?;
        if sheet.is_dynamic() {
            return Err(Failed::DynamicPrice);
        }
        let cost = self.parts(model, sheet).map_err(Failed::Unpriced)?;
        let cost = Pico::from_decimal(cost.total()).map_err(|_| Failed::BeyondMoney)?;
        // The charge must be one that can be held too, or the model could not be offered.
        self.charge(cost).map(|_| cost).ok_or(Failed::BeyondMoney)
    }

    /// The expected cost, part by part.
    pub(crate) fn parts(
        &self,
        model: &Deployment,
        sheet: &costing::PriceSheet,
    ) -> Result<Cost, costing::Unpriced> {
        let used = self
            .warm
            .as_ref()
            .filter(|_| self.is_warm(model))
            .unwrap_or(&self.assumed);
        sheet.cost(used, self.request.at)
    }

    /// The expected charge for an expected cost.
    pub(crate) fn charge(&self, cost: Pico) -> Option<Pico> {
        Charge::known(cost, self.request.markup, CostStatus::Estimated)
            .ok()?
            .charge
    }

    fn able<'a>(&self, model: &'a Deployment) -> Result<(), Failed<'a>> {
        if !model.capabilities.contains(Capability::TextOutput) {
            return Err(Failed::NoTextOutput);
        }
        match &model.last_day {
            Some(last) if self.today > last.day => Err(Failed::Expired(&last.written)),
            _ => Ok(()),
        }
    }

    fn needs<'a>(&self, model: &'a Deployment) -> Result<(), Failed<'a>> {
        let needs = self.request.needs.union(self.request.task.needs());
        let missing = needs.missing_from(model.capabilities);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Failed::Missing(missing))
        }
    }

    fn room<'a>(&self, model: &'a Deployment) -> Result<(), Failed<'a>> {
        let request = self.request;
        let both = request.prompt_tokens.saturating_add(request.completion_tokens);
        let needs = request.context.unwrap_or(0).max(both);
        match (model.context_length, request.context) {
            (Some(has), _) if has < needs => return Err(Failed::Context { has, needs }),
            (None, Some(_)) => return Err(Failed::ContextUnknown { needs }),
            _ => {}
        }
        match model.max_completion_tokens {
            Some(has) if has < request.completion_tokens => Err(Failed::Answer {
                has,
                needs: request.completion_tokens,
            }),
            _ => Ok(()),
        }
    }

    fn limits<'a>(&self, model: &'a Deployment, cost: Pico) -> Result<(), Failed<'a>> {
        let request = self.request;
        if let Some(max) = request.max_cost
            && cost.to_decimal() > max
        {
            return Err(Failed::OverMaxCost { cost, max });
        }
        let (Some(max), Some(sheet)) = (request.max_price, &model.prices) else {
            return Ok(());
        };
        for (what, key) in [("prompt", PriceKey::Prompt), ("answer", PriceKey::Completion)] {
            let rate = sheet
                .rate(key, request.prompt_tokens, request.at)
                .ok_or(Failed::NoPrices)?;
            let price = rate.checked_mul(MILLION).ok_or(Failed::BeyondMoney)?;
            if price > max {
                return Err(Failed::OverMaxPrice { what, price, max });
            }
        }
        Ok(())
    }
}

impl Snapshot {
    /// Why a model that the caller names cannot serve a request; `None` if it can. Use it for the model and for each of its
    /// fallbacks.
    ///
    /// Naming a model is choosing it: the free tier does not count, and a quality or a price that is low, dynamic or unknown
    /// only counts if the request sets a limit that would have to be held against it. The model must be named by its
    /// id in the catalogue.
    pub fn check_explicit(&self, model: &ModelId, request: &RouteRequest) -> Option<Refusal> {
        match self.get(model) {
            Some(deployment) => {
                let failed = Rules::new(request).check_named(deployment).err()?;
                Some(failed.refusal(model, request))
            }
            None => Some(Refusal {
                model: model.clone(),
                reason: RefusalReason::UnknownModel,
                detail: format!(
                    "is not among the {} models of {}",
                    self.deployments().len(),
                    self.id()
                ),
            }),
        }
    }
}

//! What an arm of an experiment does with the calls that are in it.

use anyhow::{Context, bail};
use integration_core::chat::Message;
use integration_core::{ModelId, ModelPattern};
use model_catalogue::Catalogue;
use serde::{Deserialize, Serialize};

use crate::call::{Body, MOST_FALLBACKS, MOST_PATTERNS, RouteOptions};
use crate::config::AUTO;

/// What an arm sets of a request. An arm that sets nothing leaves its requests as they are: a control.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ArmSettings {
    /// The model instead of the one asked for, by its name or an alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How what qualifies is ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The least quality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_quality: Option<f64>,
    /// How sure that quality must be, from 0.5 to less than 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// What to try after the first model. One that cannot serve a request is passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallbacks: Option<Vec<String>>,
    /// The only models that may be chosen: ids, `author/*`, `*:variant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// A system prompt that is put before the messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// In a few words, for people: `model openai/gpt-4o, fallbacks a, b`; an arm that sets nothing does `nothing`.
impl std::fmt::Display for ArmSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words = Vec::new();
        for (key, value) in [("model", &self.model), ("strategy", &self.strategy)] {
            words.extend(value.as_ref().map(|value| format!("{key} {value}")));
        }
        for (key, value) in [("min_quality", self.min_quality), ("confidence", self.confidence)] {
            words.extend(value.map(|value| format!("{key} {value}")));
        }
        for (key, list) in [("fallbacks", &self.fallbacks), ("only", &self.only)] {
            words.extend(list.as_ref().map(|list| format!("{key} {}", list.join(", "))));
        }
        words.extend(self.system.as_ref().map(|_| "a system prompt".to_owned()));
        if words.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&words.join("; "))
    }
}

impl ArmSettings {
    /// The keys of an arm's table that are these settings.
    pub(super) const KEYS: [&str; 7] = [
        "model",
        "strategy",
        "min_quality",
        "confidence",
        "fallbacks",
        "only",
        "system",
    ];

    /// Holds the settings against their ranges.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if let Some(word) = &self.strategy {
            routing::strategy(word).with_context(|| format!("strategy '{word}'"))?;
        }
        if self.min_quality.is_some_and(|quality| !quality.is_finite()) {
            bail!("min_quality must be a number");
        }
        if self.confidence.is_some_and(|sure| !(0.5..1.0).contains(&sure)) {
            bail!("confidence must be at least 0.5 and less than 1");
        }
        for (key, list, most) in [
            ("fallbacks", &self.fallbacks, MOST_FALLBACKS),
            ("only", &self.only, MOST_PATTERNS),
        ] {
            if list
                .as_ref()
                .is_some_and(|list| list.is_empty() || list.len() > most)
            {
                bail!("{key} must name 1 to {most} models");
            }
        }
        for pattern in self.only.iter().flatten() {
            pattern
                .parse::<ModelPattern>()
                .with_context(|| format!("only names '{pattern}'"))?;
        }
        if self.system.as_ref().is_some_and(String::is_empty) {
            bail!("system is empty; leave it out");
        }
        if self.model.as_ref().is_some_and(|model| model != AUTO) {
            let chooses = Self {
                model: None,
                ..self.clone()
            };
            if Fields::of(&chooses).meet(Fields::CHOICE) {
                bail!("it names a model, so strategy, min_quality, confidence and only choose nothing");
            }
        }
        Ok(())
    }

    /// Holds the models it names against the catalogue.
    pub(super) fn check_models(
        &self,
        catalogue: &Catalogue,
        exists: impl Fn(&str) -> bool,
        is_learned: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let asked = self.model.iter();
        let asked = asked.filter(|model| *model != AUTO && !is_learned(model));
        for name in asked.chain(self.fallbacks.iter().flatten()) {
            if !exists(name) {
                bail!("it names '{name}', which is not in the catalogue; `waypost models` lists it");
            }
        }
        for pattern in self.only.iter().flatten() {
            let Ok(parsed) = pattern.parse::<ModelPattern>() else {
                continue;
            };
            if !catalogue
                .records()
                .iter()
                .any(|record| parsed.matches(&record.id))
            {
                bail!("its '{pattern}' means no model of the catalogue; `waypost models` lists them");
            }
        }
        Ok(())
    }

    /// Sets what it sets. What the caller set of these fields is not there: [`Fields::of_request`].
    pub(super) fn apply(&self, body: &mut Body) {
        // Checked at the start: a name that is none changes nothing.
        if let Some(model) = self.model.as_deref().and_then(|name| ModelId::new(name).ok()) {
            body.request.model = model;
        }
        if let Some(system) = &self.system {
            body.request.messages.insert(0, Message::system(system.as_str()));
        }
        let options = &mut body.options;
        if self.strategy.is_some() {
            options.strategy.clone_from(&self.strategy);
        }
        options.min_quality = self.min_quality.or(options.min_quality);
        options.confidence = self.confidence.or(options.confidence);
        if let Some(only) = &self.only {
            options.only.clone_from(only);
        }
        if let Some(fallbacks) = &self.fallbacks {
            options.fallbacks.clone_from(fallbacks);
            options.fallbacks_may_fail = true;
        }
    }
}

/// Which parts of a request somebody decides. Two who decide the same part cannot both have their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fields(u8);

impl Fields {
    const MODEL: Self = Self(1);
    const STRATEGY: Self = Self(1 << 1);
    const MIN_QUALITY: Self = Self(1 << 2);
    const CONFIDENCE: Self = Self(1 << 3);
    /// Which models may be chosen and which not.
    const ONLY: Self = Self(1 << 4);
    const FALLBACKS: Self = Self(1 << 5);
    const SYSTEM: Self = Self(1 << 6);
    /// By what a model is chosen. Where it is named these decide nothing.
    const CHOICE: Self = Self(Self::STRATEGY.0 | Self::MIN_QUALITY.0 | Self::CONFIDENCE.0 | Self::ONLY.0);

    /// What an arm decides: with a model also all by which one would have been chosen.
    pub(super) fn of(arm: &ArmSettings) -> Self {
        Self::default()
            .with(arm.model.is_some(), Self(Self::MODEL.0 | Self::CHOICE.0))
            .with(arm.strategy.is_some(), Self::STRATEGY)
            .with(arm.min_quality.is_some(), Self::MIN_QUALITY)
            .with(arm.confidence.is_some(), Self::CONFIDENCE)
            .with(arm.only.is_some(), Self::ONLY)
            .with(arm.fallbacks.is_some(), Self::FALLBACKS)
            .with(arm.system.is_some(), Self::SYSTEM)
    }

    /// What a caller decides in the object `waypost` of the request. The model asked for is not among it: whom an experiment is for
    /// goes by that.
    pub(super) fn of_request(options: &RouteOptions) -> Self {
        Self::default()
            .with(options.strategy.is_some(), Self::STRATEGY)
            .with(options.min_quality.is_some(), Self::MIN_QUALITY)
            .with(options.confidence.is_some(), Self::CONFIDENCE)
            .with(!options.only.is_empty() || !options.never.is_empty(), Self::ONLY)
            .with(!options.fallbacks.is_empty(), Self::FALLBACKS)
    }

    const fn with(self, decides: bool, fields: Self) -> Self {
        if decides { self.and(fields) } else { self }
    }

    /// Both.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether both decide a part.
    pub(super) const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

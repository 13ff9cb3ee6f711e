//! What is added to a cost: shares, fees, and which rule holds for a call.

use std::collections::BTreeMap;
use std::str::FromStr;

use integration_core::{ModelId, ProviderId};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::money::{MoneyError, Pico};

/// Basis points in a whole.
const WHOLE_BPS: i128 = 10_000;

/// What is added to a cost: a share of it, in basis points (hundredths of a percent).
///
/// A markup is a share of the cost: ten percent make 1.00 to 1.10. A margin is a share of the charge, which is another figure
/// ([`Charge::margin`](crate::Charge::margin)): ten percent would make 1.00 to 1.11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Markup(u32);

impl Markup {
    /// Ten percent.
    pub const DEFAULT: Self = Self(1_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// A share by its basis points: 1,000 are ten percent.
    pub const fn from_bps(bps: u32) -> Self {
        Self(bps)
    }

    /// The basis points.
    pub const fn bps(self) -> u32 {
        self.0
    }

    /// The markup on a cost, in whole numbers: a half pico-dollar goes to the even neighbour. It is the only rounding between
    /// cost and charge, so that `cost + markup == charge` holds to the last digit.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the result cannot be held.
    pub fn on(self, cost: Pico) -> Result<Pico, MoneyError> {
        // |cost| < 2^63 and bps < 2^32: the product fits easily.
        let product = i128::from(cost.get()) * i128::from(self.0);
        let (floor, rest) = (product.div_euclid(WHOLE_BPS), product.rem_euclid(WHOLE_BPS));
        let up = match (rest * 2).cmp(&WHOLE_BPS) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => floor.rem_euclid(2),
            std::cmp::Ordering::Greater => 1,
        };
        i64::try_from(floor + up)
            .map(Pico::new)
            .map_err(|_| MoneyError::OutOfRange)
    }

    /// A cost with its markup, unrounded, for comparing offers. What is charged comes from [`Markup::on`].
    pub fn charge_of(self, cost: Decimal) -> Option<Decimal> {
        let factor = Decimal::try_from_i128_with_scale(WHOLE_BPS + i128::from(self.0), 4).ok()?;
        cost.checked_mul(factor)
    }
}

impl Default for Markup {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where a markup rule was set, nearest to the call first. The call's own record names the key, the team and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkupSource {
    /// For the caller's key.
    Key,
    /// For the caller's team.
    Team,
    /// For the model.
    Model,
    /// For the provider.
    Provider,
    /// For everything.
    Global,
    /// Nowhere: it is what holds without any rule.
    Default,
}

impl MarkupSource {
    /// Every source, the one that wins first.
    pub const ALL: [Self; 6] = [
        Self::Key,
        Self::Team,
        Self::Model,
        Self::Provider,
        Self::Global,
        Self::Default,
    ];

    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Team => "team",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Global => "global",
            Self::Default => "default",
        }
    }
}

impl std::fmt::Display for MarkupSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no source of a markup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no source of a markup")]
pub struct UnknownMarkupSource(pub String);

impl FromStr for MarkupSource {
    type Err = UnknownMarkupSource;

    fn from_str(text: &str) -> Result<Self, UnknownMarkupSource> {
        let found = Self::ALL.into_iter().find(|source| source.as_str() == text);
        found.ok_or_else(|| UnknownMarkupSource(text.to_owned()))
    }
}

/// The markup of one call: a share of its cost, perhaps a fixed fee, and where that was set. Kept with the call, so that the
/// charge can be explained after the rules have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MarkupRule {
    share: Markup,
    fee: Pico,
    fee_on_free: bool,
    source: MarkupSource,
}

impl MarkupRule {
    /// Ten percent, set nowhere.
    pub const DEFAULT: Self = Self::new(Markup::DEFAULT);

    /// A share of the cost and no fee.
    pub const fn new(share: Markup) -> Self {
        Self {
            share,
            fee: Pico::ZERO,
            fee_on_free: false,
            source: MarkupSource::Default,
        }
    }

    /// This rule and a fixed fee for each call that costs something. A call that costs nothing stays free.
    ///
    /// # Errors
    /// [`MoneyError::Negative`] for a fee below zero.
    pub fn with_fee(mut self, fee: Pico) -> Result<Self, MoneyError> {
        if fee < Pico::ZERO {
            return Err(MoneyError::Negative);
        }
        (self.fee, self.fee_on_free) = (fee, false);
        Ok(self)
    }

    /// This rule and a fixed fee for every call, one of a free model and an answer from a cache included.
    ///
    /// # Errors
    /// [`MoneyError::Negative`] for a fee below zero.
    pub fn with_fee_on_free_too(self, fee: Pico) -> Result<Self, MoneyError> {
        let mut rule = self.with_fee(fee)?;
        rule.fee_on_free = true;
        Ok(rule)
    }

    /// This rule without its fee.
    #[must_use]
    pub const fn without_fee(mut self) -> Self {
        (self.fee, self.fee_on_free) = (Pico::ZERO, false);
        self
    }

    /// This rule, as set there.
    #[must_use]
    pub const fn from_source(mut self, source: MarkupSource) -> Self {
        self.source = source;
        self
    }

    /// The share of the cost.
    pub const fn share(&self) -> Markup {
        self.share
    }

    /// The fixed fee, zero if there is none.
    pub const fn fee(&self) -> Pico {
        self.fee
    }

    /// Whether the fee is also for calls that cost nothing.
    pub const fn fee_on_free(&self) -> bool {
        self.fee_on_free
    }

    /// Where it was set.
    pub const fn source(&self) -> MarkupSource {
        self.source
    }

    /// The fee on a cost. A credit, which is a negative cost, bears none.
    pub fn fee_on(&self, cost: Pico) -> Pico {
        let charged = cost > Pico::ZERO || (self.fee_on_free && cost == Pico::ZERO);
        if charged { self.fee } else { Pico::ZERO }
    }

    /// Share and fee on a cost.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the result cannot be held.
    pub fn on(&self, cost: Pico) -> Result<Pico, MoneyError> {
        let share = self.share.on(cost)?;
        share.checked_add(self.fee_on(cost)).ok_or(MoneyError::OutOfRange)
    }
}

/// Ten percent, set nowhere.
impl Default for MarkupRule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<Markup> for MarkupRule {
    fn from(share: Markup) -> Self {
        Self::new(share)
    }
}

/// Whose call it is and what it asks for. What is not known has no rule.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct MarkupSubject<'a> {
    /// The caller's key, by its name.
    pub key: Option<&'a str>,
    /// The caller's team.
    pub team: Option<&'a str>,
    /// The model that is priced.
    pub model: Option<&'a ModelId>,
    /// Who is paid.
    pub provider: Option<&'a ProviderId>,
}

impl<'a> MarkupSubject<'a> {
    /// A call of this model at this provider.
    pub const fn new(provider: &'a ProviderId, model: &'a ModelId) -> Self {
        Self {
            key: None,
            team: None,
            model: Some(model),
            provider: Some(provider),
        }
    }

    /// The same call under this key.
    #[must_use]
    pub const fn with_key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// The same call for this team.
    #[must_use]
    pub const fn with_team(mut self, team: &'a str) -> Self {
        self.team = Some(team);
        self
    }
}

/// All markup rules. One holds for a call, whole: the key's before the team's, the model's, the provider's and the global one.
/// Without any it is ten percent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarkupRules {
    keys: BTreeMap<String, MarkupRule>,
    teams: BTreeMap<String, MarkupRule>,
    models: BTreeMap<ModelId, MarkupRule>,
    providers: BTreeMap<ProviderId, MarkupRule>,
    global: Option<MarkupRule>,
}

impl MarkupRules {
    /// No rule.
    pub fn new() -> Self {
        Self::default()
    }

    /// These rules and one for a key. A second rule for the same one replaces the first, here as below.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>, rule: impl Into<MarkupRule>) -> Self {
        let rule = rule.into().from_source(MarkupSource::Key);
        self.keys.insert(key.into(), rule);
        self
    }

    /// These rules and one for a team.
    #[must_use]
    pub fn with_team(mut self, team: impl Into<String>, rule: impl Into<MarkupRule>) -> Self {
        let rule = rule.into().from_source(MarkupSource::Team);
        self.teams.insert(team.into(), rule);
        self
    }

    /// These rules and one for the model of exactly this id.
    #[must_use]
    pub fn with_model(mut self, model: ModelId, rule: impl Into<MarkupRule>) -> Self {
        let rule = rule.into().from_source(MarkupSource::Model);
        self.models.insert(model, rule);
        self
    }

    /// These rules and one for a provider.
    #[must_use]
    pub fn with_provider(mut self, provider: ProviderId, rule: impl Into<MarkupRule>) -> Self {
        let rule = rule.into().from_source(MarkupSource::Provider);
        self.providers.insert(provider, rule);
        self
    }

    /// These rules and one for everything.
    #[must_use]
    pub fn with_global(mut self, rule: impl Into<MarkupRule>) -> Self {
        self.global = Some(rule.into().from_source(MarkupSource::Global));
        self
    }

    /// The rule that holds for a call, with its source.
    pub fn rule_for(&self, call: MarkupSubject<'_>) -> MarkupRule {
        let found = call
            .key
            .and_then(|key| self.keys.get(key))
            .or_else(|| self.teams.get(call.team?))
            .or_else(|| self.models.get(call.model?))
            .or_else(|| self.providers.get(call.provider?))
            .or(self.global.as_ref());
        found.copied().unwrap_or_default()
    }
}

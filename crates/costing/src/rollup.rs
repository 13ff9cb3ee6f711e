//! Attempts added up by the hour, from which reports are made.

use std::fmt;
use std::time::SystemTime;

use integration_core::{ModelId, ProviderId, UpstreamName};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::caller::Caller;
use crate::charge::CostStatus;
use crate::ledger::Outcome;
use crate::money::Pico;

/// A sum of amounts in whole pico-dollars. It holds the sum of as many amounts as there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PicoSum(i128);

impl PicoSum {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// A sum by its number of pico-dollars.
    pub const fn new(pico_dollars: i128) -> Self {
        Self(pico_dollars)
    }

    /// The number of pico-dollars.
    pub const fn get(self) -> i128 {
        self.0
    }

    /// The sum as one amount; `None` if it is beyond ±9.22 million US dollars.
    pub fn to_pico(self) -> Option<Pico> {
        i64::try_from(self.0).ok().map(Pico::new)
    }

    /// US dollars, exactly; `None` beyond 79 quadrillion, which is beyond what `Decimal` holds.
    pub fn to_decimal(self) -> Option<Decimal> {
        Decimal::try_from_i128_with_scale(self.0, 12)
            .ok()
            .map(|usd| usd.normalize())
    }
}

impl From<Pico> for PicoSum {
    fn from(amount: Pico) -> Self {
        Self(i128::from(amount.get()))
    }
}

impl std::ops::Add for PicoSum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for PicoSum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::AddAssign for PicoSum {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::ops::SubAssign for PicoSum {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::ops::AddAssign<Pico> for PicoSum {
    fn add_assign(&mut self, amount: Pico) {
        *self += Self::from(amount);
    }
}

impl std::iter::Sum for PicoSum {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| sum + amount)
    }
}

impl std::iter::Sum<Pico> for PicoSum {
    fn sum<I: Iterator<Item = Pico>>(amounts: I) -> Self {
        amounts.map(Self::from).sum()
    }
}

/// US dollars as a plain decimal number: no exponent, no trailing zeros, every digit.
impl fmt::Display for PicoSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DOLLAR: u128 = 1_000_000_000_000;
        let size = self.0.unsigned_abs();
        let (dollars, rest) = (size / DOLLAR, size % DOLLAR);
        let text = if rest == 0 {
            dollars.to_string()
        } else {
            let digits = format!("{rest:012}");
            format!("{dollars}.{}", digits.trim_end_matches('0'))
        };
        f.pad_integral(self.0 >= 0, "", &text)
    }
}

/// Written as a decimal string, because a JSON number may pass through a float on its way.
impl Serialize for PicoSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the attempts of one row have in common: everything a report groups by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    /// The start of the hour, in UTC.
    pub hour: SystemTime,
    /// Whether the provider is a simulation. Its costs are no money.
    pub simulated: bool,
    /// Who was asked.
    pub provider: ProviderId,
    /// The model that was asked for.
    pub model: ModelId,
    /// Who served the tokens behind an aggregator.
    pub upstream: Option<UpstreamName>,
    /// The id of the price book they were admitted under.
    pub price_snapshot: String,
    /// Who is charged.
    pub caller: Caller,
    /// What the call was routed for.
    pub task: Option<String>,
    /// The label; `None` is the row over all of them, labelled or not. An attempt with two labels is in three rows, so that
    /// only the rows with `None` add up to what was spent.
    pub tag: Option<String>,
    /// The arms of experiments, as [`AttemptIntent::arm`](crate::AttemptIntent::arm) has them.
    pub arm: Option<String>,
    /// How the attempts ended; `None` while they are open.
    pub outcome: Option<Outcome>,
    /// How sure the cost is.
    pub status: CostStatus,
    /// Whether they are the first attempts of their requests. Requests are counted by these.
    pub first: bool,
}

/// What the attempts of one row add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollupSums {
    /// How many attempts. A row of late corrections alone has amounts and no attempts.
    pub attempts: u64,
    /// Tokens of the prompts, as far as they were reported.
    pub prompt_tokens: u64,
    /// Tokens of the answers, reasoning included, as far as they were reported.
    pub completion_tokens: u64,
    /// Prompt tokens read from a cache.
    pub cached_tokens: u64,
    /// Prompt tokens written to a cache.
    pub cache_write_tokens: u64,
    /// Answer tokens spent on reasoning.
    pub reasoning_tokens: u64,
    /// What the providers take, of the attempts whose cost is known.
    pub cost: PicoSum,
    /// What is added to it, fixed fees included.
    pub markup: PicoSum,
    /// Both together.
    pub charge: PicoSum,
    /// Attempts whose cost is not known. They are in no amount.
    pub unknown: u64,
    /// What the same would have cost without reading from caches; an attempt for which that was not computed is in it with its
    /// cost, so that the difference to `cost` is what the caches saved.
    pub uncached_cost: PicoSum,
}

/// All attempts of one hour that are alike in everything a report groups by, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupRow {
    /// What they have in common.
    pub key: RollupKey,
    /// What they add up to.
    pub sums: RollupSums,
}

/// Which rows are asked for. Every name is compared letter by letter: there are no wildcards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollupFilter {
    /// The rows by label instead of those over all labels.
    pub by_tag: bool,
    /// The rows by label and those over all labels, as of one moment.
    pub both: bool,
    /// Only simulated attempts, or only real ones.
    pub simulated: Option<bool>,
    /// Only of this provider.
    pub provider: Option<ProviderId>,
    /// Only of this model, as asked for.
    pub model: Option<ModelId>,
    /// Only of this caller's key.
    pub key: Option<String>,
    /// Only of this project.
    pub project: Option<String>,
    /// Only of this team.
    pub team: Option<String>,
    /// Only for this task.
    pub task: Option<String>,
    /// Only with this label. It asks for rows by label.
    pub tag: Option<String>,
    /// Only of exactly these arms of experiments, as [`AttemptIntent::arm`](crate::AttemptIntent::arm) has them.
    pub arm: Option<String>,
}

impl RollupFilter {
    /// Whether rows by label are asked for, or those over all labels; `None` for both.
    pub const fn wants_tags(&self) -> Option<bool> {
        if self.both {
            None
        } else {
            Some(self.by_tag || self.tag.is_some())
        }
    }

    /// Whether a row is asked for.
    pub fn matches(&self, key: &RollupKey) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        self.wants_tags().is_none_or(|wants| wants == key.tag.is_some())
            && is(self.simulated.as_ref(), Some(&key.simulated))
            && is(self.provider.as_ref(), Some(&key.provider))
            && is(self.model.as_ref(), Some(&key.model))
            && is(self.key.as_ref(), Some(&key.caller.key))
            && is(self.project.as_ref(), key.caller.project.as_ref())
            && is(self.team.as_ref(), key.caller.team.as_ref())
            && is(self.task.as_ref(), key.task.as_ref())
            && is(self.tag.as_ref(), key.tag.as_ref())
            && is(self.arm.as_ref(), key.arm.as_ref())
    }
}

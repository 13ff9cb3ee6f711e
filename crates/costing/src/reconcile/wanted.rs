//! Which attempts are worth asking the provider for once more.

use std::str::FromStr;
use std::time::SystemTime;

use integration_core::{GenerationId, RequestId};
use sha2::{Digest, Sha256};

use crate::charge::CostStatus;
use crate::ledger::AttemptRow;

/// What has to be known of an attempt to say whether its cost is worth asking for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// When it began.
    pub began: SystemTime,
    /// The provider's name for it, if it came to one.
    pub generation: Option<GenerationId>,
    /// How sure its cost is; `None` for one that has no end in the ledger.
    pub status: Option<CostStatus>,
    /// Whether prices that hold only under a condition held for it
    /// ([`PriceSheet::has_override_for`](crate::PriceSheet::has_override_for)).
    pub had_override: bool,
}

impl Attempt {
    /// An attempt that has ended with a cost of this status.
    pub const fn ended(request: RequestId, attempt: u16, began: SystemTime, status: CostStatus) -> Self {
        Self {
            request,
            attempt,
            began,
            generation: None,
            status: Some(status),
            had_override: false,
        }
    }

    /// An attempt that has no end in the ledger: the process died under it.
    pub const fn open(request: RequestId, attempt: u16, began: SystemTime) -> Self {
        Self {
            request,
            attempt,
            began,
            generation: None,
            status: None,
            had_override: false,
        }
    }

    /// An attempt as the ledger has it.
    pub fn of(row: &AttemptRow) -> Self {
        Self {
            request: row.intent.request.clone(),
            attempt: row.intent.attempt,
            began: row.intent.started,
            generation: row.generation().cloned(),
            status: row.charge().map(|charge| charge.status),
            had_override: false,
        }
    }

    /// The same attempt, by the name the provider gave it.
    #[must_use]
    pub fn with_generation(mut self, generation: GenerationId) -> Self {
        self.generation = Some(generation);
        self
    }

    /// The same attempt, under prices of a tier, a time of day, or another condition.
    #[must_use]
    pub const fn with_override(mut self) -> Self {
        self.had_override = true;
        self
    }
}

/// Why an attempt is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Asked {
    /// It has no end: the process died under it.
    Open,
    /// Its cost is not known, or a guess.
    NoCost,
    /// Its cost is by our prices: the provider stated none.
    NotStated,
    /// Prices under a condition held. Streams are known to state the base price then.
    Override,
    /// By chance, so that what is never asked for does not go wrong unseen.
    Sample,
}

impl Asked {
    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NoCost => "no_cost",
            Self::NotStated => "not_stated",
            Self::Override => "override",
            Self::Sample => "sample",
        }
    }
}

/// A word that is no reason to ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no reason to ask a provider again")]
pub struct UnknownAsked(pub String);

impl FromStr for Asked {
    type Err = UnknownAsked;

    fn from_str(text: &str) -> Result<Self, UnknownAsked> {
        let all = [
            Self::Open,
            Self::NoCost,
            Self::NotStated,
            Self::Override,
            Self::Sample,
        ];
        let found = all.into_iter().find(|asked| asked.as_str() == text);
        found.ok_or_else(|| UnknownAsked(text.to_owned()))
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many of the attempts that nothing is wrong with are asked for, and which.
///
/// Whether one is depends on the seed and on its name alone: asked twice, or on another machine, the answer is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRate {
    per_million: u32,
    seed: u64,
}

impl SampleRate {
    /// None.
    pub const NONE: Self = Self::per_million(0, 0);

    /// So many of a million, chosen by this seed. More than a million are all.
    pub const fn per_million(per_million: u32, seed: u64) -> Self {
        Self { per_million, seed }
    }

    fn chooses(self, attempt: &Attempt) -> bool {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(attempt.attempt.to_be_bytes());
        hash.update(attempt.request.as_str().as_bytes());
        let mut number = 0_u64;
        for byte in hash.finalize().iter().take(8) {
            number = number << 8 | u64::from(*byte);
        }
        // A share of all numbers there are, without a rest at either end.
        u128::from(number) * 1_000_000 < u128::from(self.per_million) << 64
    }
}

/// Whether to ask the provider what an attempt cost, and why. `None` where it is certain already, or was not chosen.
///
/// One without a name at the provider cannot be asked for; [`Job::new`](super::Job::new) says so.
pub fn wanted(attempt: &Attempt, rate: SampleRate) -> Option<Asked> {
    match attempt.status {
        None => Some(Asked::Open),
        Some(CostStatus::Exact) => None,
        Some(CostStatus::Estimated | CostStatus::Pending | CostStatus::Unpriced) => Some(Asked::NoCost),
        Some(CostStatus::Computed) => Some(Asked::NotStated),
        Some(CostStatus::Reported) if attempt.had_override => Some(Asked::Override),
        Some(CostStatus::Reported) => rate.chooses(attempt).then_some(Asked::Sample),
    }
}

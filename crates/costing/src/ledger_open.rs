//! What to write of an attempt that a process died under.

use std::time::SystemTime;

use crate::charge::{Charge, CostStatus};
use crate::ledger::{AttemptIntent, AttemptRow, AttemptSettlement, Outcome};
use crate::money::Pico;

/// What can have become of an attempt whose process died before it was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// Nothing left the machine, so it cost nothing.
    NeverSent,
    /// It may have been sent, and answered, and billed. What it cost is not known, and is not zero.
    Unknown,
}

impl Fate {
    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverSent => "never_sent",
            Self::Unknown => "unknown",
        }
    }

    /// What has become of an attempt of a process that is gone.
    ///
    /// An intent is durable before anything is sent, so the ledger alone cannot tell that an attempt at a real provider was not
    /// made, and it does not guess: that is [`Fate::Unknown`]. A simulation within the process has died with it, and nothing
    /// has left the machine.
    pub const fn of(intent: &AttemptIntent) -> Self {
        if intent.simulated {
            Self::NeverSent
        } else {
            Self::Unknown
        }
    }
}

/// The settlement of an attempt that an earlier process died under, for every attempt that is open at the start: a failure of the
/// kind [`ABANDONED`], at no cost if it was never sent, else at a cost that is [`CostStatus::Pending`] until it is asked for.
pub fn recovered(row: &AttemptRow, fate: Fate, now: SystemTime) -> AttemptSettlement {
    let intent = &row.intent;
    let charge = match fate {
        // Not even a fee that is on every call: there was none.
        Fate::NeverSent => Charge {
            cost: Some(Pico::ZERO),
            markup: Some(Pico::ZERO),
            charge: Some(Pico::ZERO),
            markup_bps: 0,
            status: CostStatus::Exact,
        },
        Fate::Unknown => Charge::unknown(intent.markup.share(), CostStatus::Pending),
    };
    AttemptSettlement {
        request: intent.request.clone(),
        attempt: intent.attempt,
        finished: now,
        outcome: Outcome::Failed,
        error_kind: Some(ABANDONED.to_owned()),
        served_model: None,
        upstream: None,
        generation: row.named.clone(),
        finish_reason: None,
        service_tier: None,
        usage: None,
        charge,
        fee: Pico::ZERO,
        bill: Vec::new(),
        uncached_cost: None,
        reported_cost: None,
        computed_cost: None,
        first_content: None,
        duration: None,
    }
}

/// The kind of error of an attempt that its process died under.
pub const ABANDONED: &str = "abandoned";

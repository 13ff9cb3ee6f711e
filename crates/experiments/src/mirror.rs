//! How much of the traffic is sent to a second model as well, whose answers nobody waits for.

use serde::{Deserialize, Serialize};

use crate::hash::{BUCKETS, Purpose, bucket};

const DAY_MS: i64 = 86_400_000;

/// What a mirror may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct MirrorPolicy {
    form: Form,
}

/// The form in configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    salt: String,
    sample_bps: u16,
    budget_per_day_pico: i64,
    max_in_flight: u32,
    timeout_ms: i64,
}

/// Why a mirror was refused. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorPolicyError {
    /// The salt is empty, or holds the byte 0 that separates it from what follows.
    #[error("the salt of a mirror is empty or holds a NUL character")]
    InvalidSalt,
    /// More than everything.
    #[error("a mirror takes {0} basis points; the most is 10000")]
    Sample(u16),
    /// A budget below zero.
    #[error("a mirror's budget is below zero")]
    Budget,
    /// A time in which nothing can be answered.
    #[error("a mirror's timeout is {0} ms; it must be above zero")]
    Timeout(i64),
}

impl TryFrom<Form> for MirrorPolicy {
    type Error = MirrorPolicyError;

    fn try_from(form: Form) -> Result<Self, MirrorPolicyError> {
        if form.salt.is_empty() || form.salt.contains('\0') {
            Err(MirrorPolicyError::InvalidSalt)
        } else if form.sample_bps > BUCKETS {
            Err(MirrorPolicyError::Sample(form.sample_bps))
        } else if form.budget_per_day_pico < 0 {
            Err(MirrorPolicyError::Budget)
        } else if form.timeout_ms <= 0 {
            Err(MirrorPolicyError::Timeout(form.timeout_ms))
        } else {
            Ok(Self { form })
        }
    }
}

impl From<MirrorPolicy> for Form {
    fn from(policy: MirrorPolicy) -> Self {
        policy.form
    }
}

impl MirrorPolicy {
    /// Mirrors `sample_bps` basis points of the requests, drawn by the salt, for at most `budget_per_day_pico` pico-dollars
    /// (10⁻¹² USD) per day of UTC, `max_in_flight` at once, each for at most `timeout_ms` milliseconds. A budget or a number at
    /// once of 0 mirrors nothing that costs something, or nothing.
    ///
    /// # Errors
    /// [`MirrorPolicyError`].
    pub fn new(
        salt: impl Into<String>,
        sample_bps: u16,
        budget_per_day_pico: i64,
        max_in_flight: u32,
        timeout_ms: i64,
    ) -> Result<Self, MirrorPolicyError> {
        Form {
            salt: salt.into(),
            sample_bps,
            budget_per_day_pico,
            max_in_flight,
            timeout_ms,
        }
        .try_into()
    }

    /// Whether a request is of the sample: the same on every node, and the same request always. Nothing else is asked.
    pub fn samples(&self, request: &str) -> bool {
        !request.is_empty()
            && self.form.sample_bps > 0
            && bucket(&self.form.salt, Purpose::Mirror, request) < self.form.sample_bps
    }

    /// How long a mirrored call may take, in milliseconds.
    pub const fn timeout_ms(&self) -> i64 {
        self.form.timeout_ms
    }

    /// What may be spent per day of UTC, in pico-dollars.
    pub const fn budget_per_day_pico(&self) -> i64 {
        self.form.budget_per_day_pico
    }

    /// How many may be under way at once.
    pub const fn max_in_flight(&self) -> u32 {
        self.form.max_in_flight
    }
}

/// Why a request is not mirrored. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotMirrored {
    /// It is not of the sample.
    NotSampled,
    /// As many as may be are under way.
    InFlight,
    /// It could cost more than is left of today's budget.
    Budget,
    /// What it could cost is not known, or below zero.
    UnknownCost,
}

/// Leave to mirror one request. It is given back to [`MirrorGate::release`] with what the call cost; if it is lost, the gate takes
/// it back when the time of the call is over.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket holds its worst case of the budget until it is released"]
pub struct MirrorTicket {
    id: u64,
    deadline_ms: i64,
}

impl MirrorTicket {
    /// When the call must be given up, in milliseconds since 1970-01-01 UTC.
    pub const fn deadline_ms(&self) -> i64 {
        self.deadline_ms
    }
}

/// A call under way.
#[derive(Debug, Clone, Copy)]
struct Open {
    id: u64,
    worst_pico: i64,
    deadline_ms: i64,
}

/// Holds a mirror to its policy. It knows no clock and sends nothing: the caller asks before it sends, and says what came of it.
///
/// What is spent today and what may yet be spent by calls under way never exceed the budget, as long as no call costs more than
/// its worst case; one that does is counted in full. Per process: of several nodes, each has a budget of its own.
#[derive(Debug)]
pub struct MirrorGate {
    policy: MirrorPolicy,
    /// The day since 1970-01-01 UTC that `spent_pico` is of.
    day: i64,
    spent_pico: i64,
    open: Vec<Open>,
    next_id: u64,
}

impl MirrorGate {
    /// With nothing spent.
    pub const fn new(policy: MirrorPolicy) -> Self {
        Self {
            policy,
            day: i64::MIN,
            spent_pico: 0,
            open: Vec::new(),
            next_id: 0,
        }
    }

    /// With what was spent already on the day of `now_ms`, so that a restart does not double the budget.
    #[must_use]
    pub const fn with_spent(mut self, spent_pico: i64, now_ms: i64) -> Self {
        self.day = now_ms.div_euclid(DAY_MS);
        self.spent_pico = spent_pico;
        self
    }

    /// Asks whether to mirror a request that could cost up to `worst_pico` pico-dollars; `None` if nobody knows.
    ///
    /// # Errors
    /// [`NotMirrored`], and nothing is taken.
    pub fn take(
        &mut self,
        request: &str,
        worst_pico: Option<i64>,
        now_ms: i64,
    ) -> Result<MirrorTicket, NotMirrored> {
        if !self.policy.samples(request) {
            return Err(NotMirrored::NotSampled);
        }
        self.advance(now_ms);
        if self.in_flight() >= self.policy.max_in_flight() {
            return Err(NotMirrored::InFlight);
        }
        let Some(worst_pico) = worst_pico.filter(|worst| *worst >= 0) else {
            return Err(NotMirrored::UnknownCost);
        };
        if self.committed_pico().saturating_add(worst_pico) > self.policy.budget_per_day_pico() {
            return Err(NotMirrored::Budget);
        }
        let id = self.next_id;
        self.next_id += 1;
        let deadline_ms = now_ms.saturating_add(self.policy.timeout_ms());
        self.open.push(Open {
            id,
            worst_pico,
            deadline_ms,
        });
        Ok(MirrorTicket { id, deadline_ms })
    }

    /// Ends a call that cost `cost_pico`. Where that is not known, its worst case counts as spent. After its deadline this changes
    /// nothing: the worst case counts already.
    pub fn release(&mut self, ticket: MirrorTicket, cost_pico: Option<i64>, now_ms: i64) {
        self.advance(now_ms);
        if let Some(place) = self.open.iter().position(|open| open.id == ticket.id) {
            let open = self.open.swap_remove(place);
            let cost = cost_pico.filter(|cost| *cost >= 0).unwrap_or(open.worst_pico);
            self.spent_pico = self.spent_pico.saturating_add(cost);
        }
    }

    /// Begins the day of `now_ms`, and takes back what was not released in time, without asking for anything: for those who only look.
    pub fn see(&mut self, now_ms: i64) {
        self.advance(now_ms);
    }

    /// How many are under way.
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    /// What was spent on the day last seen, in pico-dollars.
    pub const fn spent_pico(&self) -> i64 {
        self.spent_pico
    }

    /// What was spent on the day last seen, and what calls under way may yet cost. A call begun the day before counts on the day it
    /// ends.
    pub fn committed_pico(&self) -> i64 {
        self.open
            .iter()
            .fold(self.spent_pico, |sum, open| sum.saturating_add(open.worst_pico))
    }

    /// What it holds to.
    pub const fn policy(&self) -> &MirrorPolicy {
        &self.policy
    }

    /// Begins a new day, and takes back what was not released in time. A clock that goes back begins no day anew.
    fn advance(&mut self, now_ms: i64) {
        let day = now_ms.div_euclid(DAY_MS);
        if day > self.day {
            self.day = day;
            self.spent_pico = 0;
        }
        let mut lost = 0i64;
        self.open.retain(|open| {
            let over = now_ms >= open.deadline_ms;
            if over {
                lost = lost.saturating_add(open.worst_pico);
            }
            !over
        });
        self.spent_pico = self.spent_pico.saturating_add(lost);
    }
}

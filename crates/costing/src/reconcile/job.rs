//! One attempt that is asked for: a plain record that a store keeps, and what each answer makes of it.

use std::time::{Duration, SystemTime};

use integration_core::{GenerationId, ReportedCost, RequestId};

use super::wanted::{Asked, Attempt};
use crate::charge::{Charge, CostStatus};
use crate::markup::MarkupRule;
use crate::money::{MoneyError, Pico};

/// When to ask, and when to stop.
///
/// A provider's record of a call appears half a second after it as a rule, and long after it where a stream was cut. Asking again
/// costs nothing but a request, so it is asked often at first, each time twice as long after the time before, then by the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    first: Duration,
    longest: Duration,
    then_every: Duration,
    give_up: Duration,
}

impl Schedule {
    /// After a quarter of a second, then twice as long each time up to five minutes, then every hour, for a day.
    pub const DEFAULT: Self = Self {
        first: Duration::from_millis(250),
        longest: Duration::from_secs(300),
        then_every: Duration::from_secs(3_600),
        give_up: Duration::from_secs(86_400),
    };

    /// A schedule of one's own. The first wait is taken as at least a millisecond.
    pub fn new(first: Duration, longest: Duration, then_every: Duration, give_up: Duration) -> Self {
        let first = first.max(Duration::from_millis(1));
        Self {
            first,
            longest,
            then_every: then_every.max(first),
            give_up,
        }
    }

    /// How long to wait after so many asks.
    pub fn wait_after(&self, tries: u32) -> Duration {
        let doubled = 2_u32.checked_pow(tries);
        let wait = doubled.and_then(|times| self.first.checked_mul(times));
        match wait.filter(|wait| *wait < self.longest) {
            Some(wait) => wait,
            // The longest of the short ones once, and then the long ones.
            None if tries == 0 => self.longest.min(self.first),
            None if self.wait_before_last(tries) => self.longest,
            None => self.then_every,
        }
    }

    /// Whether the wait before this one was one of the short ones.
    fn wait_before_last(&self, tries: u32) -> bool {
        let doubled = 2_u32.checked_pow(tries - 1);
        let before = doubled.and_then(|times| self.first.checked_mul(times));
        before.is_some_and(|wait| wait < self.longest)
    }

    /// For how long an attempt is asked for.
    pub const fn gives_up_after(&self) -> Duration {
        self.give_up
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// For so long a provider that cannot be reached is asked.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// An attempt that is asked for. A store keeps it as it is, so that it is still asked for after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Job {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// The provider's name for it.
    pub generation: GenerationId,
    /// Why it is asked for.
    pub asked: Asked,
    /// When the attempt began.
    pub began: SystemTime,
    /// Since when it is asked for.
    pub since: SystemTime,
    /// When to ask next.
    pub next: SystemTime,
    /// How often it was asked for.
    pub tries: u32,
}

impl Job {
    /// A record as a store has kept it.
    #[expect(clippy::too_many_arguments, reason = "each is a column of a store's table")]
    pub const fn kept(
        request: RequestId,
        attempt: u16,
        generation: GenerationId,
        asked: Asked,
        began: SystemTime,
        since: SystemTime,
        next: SystemTime,
        tries: u32,
    ) -> Self {
        Self {
            request,
            attempt,
            generation,
            asked,
            began,
            since,
            next,
            tries,
        }
    }

    /// The record of an attempt that is to be asked for from now on.
    ///
    /// # Errors
    /// [`GaveUp`] at once for an attempt without a name at the provider: nobody can be asked.
    pub fn new(
        attempt: &Attempt,
        asked: Asked,
        now: SystemTime,
        schedule: &Schedule,
    ) -> Result<Self, GaveUp> {
        let Some(generation) = attempt.generation.clone() else {
            return Err(GaveUp {
                request: attempt.request.clone(),
                attempt: attempt.attempt,
                reason: GaveUpReason::NoName,
                tries: 0,
            });
        };
        Ok(Self {
            request: attempt.request.clone(),
            attempt: attempt.attempt,
            generation,
            asked,
            began: attempt.began,
            since: now,
            next: later(now, schedule.wait_after(0)),
            tries: 0,
        })
    }

    /// What an answer makes of it. `booked` is what the ledger has, `rule` the markup that the attempt was admitted under.
    ///
    /// Nothing is ever guessed here: what was booked stays what it was until the provider says something else.
    pub fn answered(
        mut self,
        answer: Answer,
        booked: Charge,
        rule: MarkupRule,
        now: SystemTime,
        schedule: &Schedule,
    ) -> Verdict {
        let give_up = |job: Self, reason| {
            Verdict::GaveUp(GaveUp {
                request: job.request,
                attempt: job.attempt,
                reason,
                tries: job.tries,
            })
        };
        self.tries = self.tries.saturating_add(1);
        let mut wait = schedule.wait_after(self.tries);
        let reason = match answer {
            Answer::Found(stated) => match stated.total() {
                Some(cost) => {
                    let exact = Pico::from_decimal(cost)
                        .and_then(|cost| Charge::known(cost, rule, CostStatus::Exact));
                    return match exact {
                        Ok(exact) => Verdict::Found(Correction {
                            request: self.request,
                            attempt: self.attempt,
                            booked,
                            exact,
                        }),
                        Err(_) => give_up(self, GaveUpReason::NotAnAmount),
                    };
                }
                // It is there and says nothing of the cost, or only half of it: as good as not there.
                None => GaveUpReason::NoCost,
            },
            Answer::NotYet => GaveUpReason::NotFound,
            Answer::Never => return give_up(self, GaveUpReason::Refused),
            Answer::Trouble(asked) => {
                wait = wait.max(asked.unwrap_or_default());
                GaveUpReason::NoAnswer
            }
        };
        // By the clock's word; a clock that went back only makes it asked for longer.
        let end = later(self.since, schedule.give_up);
        // Only the provider's own word ends the asking: one that could not be reached has said nothing yet, however long that lasts.
        // After a month nobody will answer for it any more.
        let silent = reason == GaveUpReason::NoAnswer;
        if now >= end && !(silent && now < later(self.since, MONTH.max(schedule.give_up))) {
            return give_up(self, reason);
        }
        let next = later(now, wait);
        // The last ask is at the end, not a wait after it.
        self.next = if now < end { next.min(end) } else { next };
        Verdict::AskAgain(self)
    }
}

/// What asking came to.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// The record is there and states this.
    Found(ReportedCost),
    /// It is not known (yet): status 404.
    NotYet,
    /// It will never be told: the id is not taken, the account is another one.
    Never,
    /// Nobody answered, or "later", perhaps with a time: the network, a limit, an error of the provider's.
    Trouble(Option<Duration>),
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The cost is known. Where it differs from what is booked, the ledger is corrected; in any case it is exact now.
    Found(Correction),
    /// The record to keep instead of the one before.
    AskAgain(Job),
    /// No more asking.
    GaveUp(GaveUp),
}

/// What the provider's own record says, beside what was booked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Correction {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// What the ledger has.
    pub booked: Charge,
    /// What it is, with the markup the attempt was admitted under.
    pub exact: Charge,
}

impl Correction {
    /// By how much the cost is more than was booked; all of it where none was.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the difference cannot be held.
    pub fn cost_difference(&self) -> Result<Pico, MoneyError> {
        difference(self.exact.cost, self.booked.cost)
    }

    /// By how much the charge is more than was booked; all of it where none was.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the difference cannot be held.
    pub fn charge_difference(&self) -> Result<Pico, MoneyError> {
        difference(self.exact.charge, self.booked.charge)
    }

    /// Whether amounts change, and not only how sure they are.
    pub fn changes_amounts(&self) -> bool {
        (self.exact.cost, self.exact.charge) != (self.booked.cost, self.booked.charge)
    }
}

/// An attempt that is no longer asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GaveUp {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// Why.
    pub reason: GaveUpReason,
    /// How often it was asked for.
    pub tries: u32,
}

impl GaveUp {
    /// What is left to be booked. What has a cost keeps it as it is. What has none gets the estimate, if there is one, and is
    /// `estimated`; else it stays unknown and is `pending`. Never zero.
    ///
    /// `booked` is `None` for an attempt without an end; `estimate` is a cost, such as that of the tokens that were counted.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the charge cannot be held.
    pub fn leaves(
        &self,
        booked: Option<Charge>,
        estimate: Option<Pico>,
        rule: MarkupRule,
    ) -> Result<Charge, MoneyError> {
        match (booked, estimate) {
            (Some(booked), _) if booked.cost.is_some() => Ok(booked),
            (_, Some(estimate)) => Charge::known(estimate, rule, CostStatus::Estimated),
            (Some(booked), None) => Ok(booked),
            (None, None) => Ok(Charge::unknown(rule.share(), CostStatus::Pending)),
        }
    }
}

/// Why an attempt is no longer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GaveUpReason {
    /// It came to no name at the provider.
    NoName,
    /// The provider does not know it, to the end.
    NotFound,
    /// The provider knows it and does not say what it cost.
    NoCost,
    /// What the provider says is no amount the ledger can hold.
    NotAnAmount,
    /// The provider refuses to tell.
    Refused,
    /// Nobody answered for a month.
    NoAnswer,
}

impl GaveUpReason {
    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoName => "no_name",
            Self::NotFound => "not_found",
            Self::NoCost => "no_cost",
            Self::NotAnAmount => "not_an_amount",
            Self::Refused => "refused",
            Self::NoAnswer => "no_answer",
        }
    }
}

impl std::fmt::Display for GaveUpReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which jobs to ask for now, at most so many: those that wait longest first, in an order that does not depend on the store's.
pub fn due<'a>(jobs: impl IntoIterator<Item = &'a Job>, now: SystemTime, most: usize) -> Vec<&'a Job> {
    let mut due: Vec<&Job> = jobs.into_iter().filter(|job| job.next <= now).collect();
    due.sort_unstable_by(|a, b| (a.next, &a.request, a.attempt).cmp(&(b.next, &b.request, b.attempt)));
    due.truncate(most);
    due
}

fn difference(exact: Option<Pico>, booked: Option<Pico>) -> Result<Pico, MoneyError> {
    let (exact, booked) = (exact.unwrap_or(Pico::ZERO), booked.unwrap_or(Pico::ZERO));
    exact.checked_sub(booked).ok_or(MoneyError::OutOfRange)
}

fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}

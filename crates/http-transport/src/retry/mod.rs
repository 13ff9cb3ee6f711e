//! Whether, and when, a failed call is made again.
//!
//! [`Retries`] decides for one call and does nothing else: it reads no clock, waits for nothing and draws its jitter from a
//! seed, so that the same failures with the same seed give the same delays. [`RetryBudget`] is what all calls of a client
//! share: each retry takes tokens out of it, so that an outage cannot multiply the load by more than a little.
//! [`Retrier`] is both with a client's rules, and [`run`] the loop around an attempt.
//!
//! The numbers are those of the AWS SDKs' standard retry mode (the 2026 rules), which many clients of many services have been
//! run with; [`RetryRules`] tells each one and where it comes from.
//!
//! What may have been billed is not sent again unless the caller allows it: a language model's answer costs money whether or
//! not it arrives.
//!
//! ```
//! use http_transport::retry::{Retries, RetryBudget, RetryPolicy};
//! use integration_core::{Delivery, Error, ErrorKind};
//!
//! let (policy, budget) = (RetryPolicy::standard(), RetryBudget::default());
//! let mut retries = Retries::new(&policy, 1);
//! let refused = Error::new(ErrorKind::RateLimited, "slow down").with_delivery(Delivery::Answered);
//! let wait = retries.after_failure(&refused, &budget);
//! assert!(wait.is_some_and(|wait| wait.as_secs_f64() <= 1.0));
//! let broken = Error::new(ErrorKind::Transport, "reset").with_delivery(Delivery::MaybeSent);
//! assert_eq!(retries.after_failure(&broken, &budget), None);
//! ```

mod driver;
mod rules;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use integration_core::{Delivery, Error, ErrorKind, RetryClass};

pub use driver::{Retrier, run};
pub use rules::{RetryPolicy, RetryRules};

/// The tokens that all retries of one client are paid from. Clones share them.
///
/// The first attempt of a call costs nothing and is never delayed; with no tokens left, a failure is simply the failure.
/// A success gives back what its last retry cost, or one token if it took none, up to the capacity.
#[derive(Clone)]
pub struct RetryBudget {
    tokens: Arc<AtomicU32>,
    capacity: u32,
}

impl Default for RetryBudget {
    /// 500 tokens.
    fn default() -> Self {
        Self::new(rules::BUCKET)
    }
}

impl RetryBudget {
    /// A full budget of `capacity` tokens. With 0 nothing is ever retried.
    pub fn new(capacity: u32) -> Self {
        Self {
            tokens: Arc::new(AtomicU32::new(capacity)),
            capacity,
        }
    }

    /// How many tokens there are at this moment.
    pub fn tokens(&self) -> u32 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// How many tokens there are when it is full.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Takes all of `cost`, or nothing.
    fn take(&self, cost: u32) -> bool {
        self.tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                tokens.checked_sub(cost)
            })
            .is_ok()
    }

    fn give(&self, tokens: u32) {
        // Full is the usual state, and then there is nothing to write.
        let _ = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < self.capacity).then(|| now.saturating_add(tokens).min(self.capacity))
            });
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("tokens", &self.tokens())
            .field("capacity", &self.capacity)
            .finish()
    }
}

/// Why a failure is not retried. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GiveUp {
    /// The policy is [`RetryPolicy::None`].
    Off,
    /// The error says that this deployment will not answer this request: its [`RetryClass`] is another than
    /// [`RetryClass::SameDeployment`].
    WouldFailAgain,
    /// The request may have been processed, and so billed, and the rules do not allow paying twice.
    MayBeBilled,
    /// All attempts are made.
    Attempts,
    /// The server asks to wait for longer than the rules allow.
    AskedTooLong,
    /// The wait would not end before the caller's deadline.
    Deadline,
    /// The client's budget has too few tokens.
    Budget,
}

impl GiveUp {
    /// A stable word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::WouldFailAgain => "would_fail_again",
            Self::MayBeBilled => "may_be_billed",
            Self::Attempts => "attempts",
            Self::AskedTooLong => "asked_too_long",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
        }
    }
}

/// The retries of one call: told of each failure, it says how long to wait before the next attempt, or that there is none.
#[derive(Debug, Clone)]
pub struct Retries {
    rules: Option<RetryRules>,
    jitter: Jitter,
    /// Attempts that have failed so far.
    failed: u32,
    /// What the last retry cost.
    held: u32,
}

impl Retries {
    /// The retries of a call that begins now. The same `seed` gives the same jitter.
    pub fn new(policy: &RetryPolicy, seed: u64) -> Self {
        Self {
            rules: policy.rules().copied(),
            jitter: Jitter::Seeded(seed),
            failed: 0,
            held: 0,
        }
    }

    /// Waits as long as the jitter could make it, each time. For tests, and for vectors that hold in any language.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.jitter = Jitter::Most;
        self
    }

    /// The number of the attempt that is being made, or is to be made next: 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.failed.saturating_add(1)
    }

    /// As [`Retries::decide`] for a caller without a deadline, less the reason.
    pub fn after_failure(&mut self, error: &Error, budget: &RetryBudget) -> Option<Duration> {
        self.decide(error, budget, None).ok()
    }

    /// Takes note of a failed attempt and says how long to wait before the next one; its tokens are then taken.
    ///
    /// `left`: how long it is until the caller's deadline, if there is one.
    ///
    /// # Errors
    /// Why there is no further attempt. Nothing is taken from the budget then.
    pub fn decide(
        &mut self,
        error: &Error,
        budget: &RetryBudget,
        left: Option<Duration>,
    ) -> Result<Duration, GiveUp> {
        let rules = self.rules.ok_or(GiveUp::Off)?;
        self.failed = self.failed.saturating_add(1);
        if error.retry_class() != RetryClass::SameDeployment {
            return Err(GiveUp::WouldFailAgain);
        }
        let billed = matches!(error.delivery(), Delivery::MaybeSent | Delivery::Partial);
        if billed && !rules.may_be_billed {
            return Err(GiveUp::MayBeBilled);
        }
        if self.failed >= rules.max_attempts {
            return Err(GiveUp::Attempts);
        }
        let asked = error.retry_after();
        if asked.is_some_and(|asked| asked > rules.longest_retry_after) {
            return Err(GiveUp::AskedTooLong);
        }
        let throttled = is_throttling(error);
        let (base, cost) = if throttled {
            (rules.throttling_base, rules.throttling_cost)
        } else {
            (rules.transient_base, rules.transient_cost)
        };
        let computed = self.jitter.below(backoff(base, self.failed, rules.cap));
        let wait = asked.map_or(computed, |asked| {
            asked.clamp(computed, computed.saturating_add(rules.retry_after_extra))
        });
        if left.is_some_and(|left| wait >= left) {
            return Err(GiveUp::Deadline);
        }
        if !budget.take(cost) {
            return Err(GiveUp::Budget);
        }
        self.held = cost;
        Ok(wait)
    }

    /// Ends a call that succeeded: the budget gets back what its last retry cost, or one token if there was none. A call that
    /// fails or is given up just drops this, and its tokens are gone.
    pub fn success(self, budget: &RetryBudget) {
        if self.rules.is_some() {
            budget.give(self.held.max(1));
        }
    }
}

/// The server told us to slow down, as against: something broke. A billing refusal that is worth repeating is one of money
/// that is reserved by calls in flight.
fn is_throttling(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::Billing
    )
}

/// `base` doubled for each failure after the first, at most `cap`.
fn backoff(base: Duration, failed: u32, cap: Duration) -> Duration {
    let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    base.saturating_mul(doubled).min(cap)
}

#[derive(Debug, Clone)]
enum Jitter {
    /// The state of SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix, and any seed is a good one.
    Seeded(u64),
    Most,
}

impl Jitter {
    /// Evenly between zero and `most`, both included: "full jitter".
    fn below(&mut self, most: Duration) -> Duration {
        let state = match self {
            Self::Most => return most,
            Self::Seeded(state) => state,
        };
        let draw = split_mix(state);
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        // The high half of the product: at most `most`, so it fits.
        let nanos = (u128::from(draw) * (u128::from(most) + 1)) >> 64;
        Duration::from_nanos(nanos as u64)
    }
}

pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

//! What is retried how often, and where the numbers come from.

use std::time::Duration;

/// Whether calls are made again after a failure. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryPolicy {
    /// Each call is one attempt. For a caller that does its own retries: two loops inside one another multiply.
    None,
    /// By these rules.
    Standard(RetryRules),
}

impl RetryPolicy {
    /// By [`RetryRules::default`].
    pub const fn standard() -> Self {
        Self::Standard(RetryRules::STANDARD)
    }

    /// The rules; `None` where nothing is retried.
    pub const fn rules(&self) -> Option<&RetryRules> {
        match self {
            Self::None => None,
            Self::Standard(rules) => Some(rules),
        }
    }
}

impl Default for RetryPolicy {
    /// [`RetryPolicy::standard`].
    fn default() -> Self {
        Self::standard()
    }
}

pub(super) const BUCKET: u32 = 500;

/// The rules of retrying. A "throttling" failure is a rate limit, an overload, or money held by calls in flight; every other
/// retryable failure is "transient".
///
/// Unless another source is named, a number is that of the AWS SDKs' standard retry mode with the 2026 rules
/// (`AWS_NEW_RETRIES_2026`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryRules {
    /// The most attempts of one call, the first included. 3 unless set; Google's SRE book has the same number. 0 and 1 mean no
    /// retry.
    pub max_attempts: u32,
    /// The longest wait after the first transient failure; it doubles with each further one. 50 ms unless set.
    pub transient_base: Duration,
    /// The longest wait after the first throttling failure; it doubles with each further one. 1 s unless set.
    pub throttling_base: Duration,
    /// What the doubled wait is cut to, before it is jittered. 20 s unless set.
    pub cap: Duration,
    /// How many tokens the client's [`RetryBudget`](super::RetryBudget) holds. 500 unless set.
    pub bucket: u32,
    /// What a retry after a transient failure costs, in tokens. 14 unless set.
    pub transient_cost: u32,
    /// What a retry after a throttling failure costs, in tokens: less, as being refused costs the server little. 5 unless set.
    pub throttling_cost: u32,
    /// A server's `Retry-After` is honoured between the wait computed here and that much more. 5 s unless set.
    pub retry_after_extra: Duration,
    /// A server that asks for a longer wait than this is taken at its word: the call fails at once, with the wait in its
    /// error, for whoever can do something else meanwhile. 60 s unless set, which is ours: a rate limit per minute is over by
    /// then, a daily one is not.
    pub longest_retry_after: Duration,
    /// Whether a request that may have been processed, and so billed, is sent again: one that got no answer, or part of one.
    /// `false` unless set, which is ours: a second answer is paid for a second time.
    pub may_be_billed: bool,
}

impl RetryRules {
    const STANDARD: Self = Self {
        max_attempts: 3,
        transient_base: Duration::from_millis(50),
        throttling_base: Duration::from_secs(1),
        cap: Duration::from_secs(20),
        bucket: BUCKET,
        transient_cost: 14,
        throttling_cost: 5,
        retry_after_extra: Duration::from_secs(5),
        longest_retry_after: Duration::from_secs(60),
        may_be_billed: false,
    };

    /// Sets the most attempts, the first included.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the longest first wait after a transient and after a throttling failure.
    #[must_use]
    pub fn with_bases(mut self, transient: Duration, throttling: Duration) -> Self {
        self.transient_base = transient;
        self.throttling_base = throttling;
        self
    }

    /// Sets what the doubled wait is cut to.
    #[must_use]
    pub fn with_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets how many tokens the client's budget holds.
    #[must_use]
    pub fn with_bucket(mut self, tokens: u32) -> Self {
        self.bucket = tokens;
        self
    }

    /// Sets what a retry costs after a transient and after a throttling failure.
    #[must_use]
    pub fn with_costs(mut self, transient: u32, throttling: u32) -> Self {
        self.transient_cost = transient;
        self.throttling_cost = throttling;
        self
    }

    /// Sets by how much a server's `Retry-After` may exceed the wait computed here.
    #[must_use]
    pub fn with_retry_after_extra(mut self, extra: Duration) -> Self {
        self.retry_after_extra = extra;
        self
    }

    /// Sets the longest `Retry-After` after which a call is made again at all.
    #[must_use]
    pub fn with_longest_retry_after(mut self, longest: Duration) -> Self {
        self.longest_retry_after = longest;
        self
    }

    /// Sets whether a request that may have been billed is sent again.
    #[must_use]
    pub fn with_may_be_billed(mut self, allowed: bool) -> Self {
        self.may_be_billed = allowed;
        self
    }
}

impl Default for RetryRules {
    fn default() -> Self {
        Self::STANDARD
    }
}

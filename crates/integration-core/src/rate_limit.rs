//! What a provider tells about its rate limits, as facts. What to do about them is the limiter's to decide.

use std::time::Duration;

/// What an answer, or a refusal, told about the provider's rate limits. What was not told is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RateLimitFacts {
    /// The limit of requests.
    pub requests: Option<RateWindow>,
    /// The limit of tokens, prompt and completion together unless the provider says otherwise.
    pub tokens: Option<RateWindow>,
}

impl RateLimitFacts {
    /// Sets the limit of requests.
    #[must_use]
    pub fn with_requests(mut self, window: RateWindow) -> Self {
        self.requests = Some(window);
        self
    }

    /// Sets the limit of tokens.
    #[must_use]
    pub fn with_tokens(mut self, window: RateWindow) -> Self {
        self.tokens = Some(window);
        self
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }
}

/// One limit as a provider tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RateWindow {
    /// How many are allowed in one window.
    pub limit: Option<u64>,
    /// How many are left in the present window.
    pub remaining: Option<u64>,
    /// How long until the window starts anew, counted from the moment the answer was read.
    pub resets_in: Option<Duration>,
    /// How long one window is.
    pub period: Option<RatePeriod>,
}

impl RateWindow {
    /// A limit of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many are allowed in one window.
    #[must_use]
    pub fn with_limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sets how many are left.
    #[must_use]
    pub fn with_remaining(mut self, remaining: u64) -> Self {
        self.remaining = Some(remaining);
        self
    }

    /// Sets how long until the window starts anew.
    #[must_use]
    pub fn with_resets_in(mut self, wait: Duration) -> Self {
        self.resets_in = Some(wait);
        self
    }

    /// Sets how long one window is.
    #[must_use]
    pub fn with_period(mut self, period: RatePeriod) -> Self {
        self.period = Some(period);
        self
    }
}

/// How long the window of a limit is. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RatePeriod {
    /// A minute.
    Minute,
    /// A day, in UTC.
    Day,
}

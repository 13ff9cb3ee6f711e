//! What is known of a model's limits.

/// The limits of one model, or of several that share them. What is `None` is not limited: no limit is made up.
///
/// ```
/// use rate_limits::Limits;
/// let limits = Limits::none().with_requests_per_minute(500).with_tokens_per_minute(200_000);
/// assert_eq!(limits.requests_per_day, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Limits {
    /// The most requests begun in any 60 seconds.
    pub requests_per_minute: Option<u32>,
    /// The most tokens in any 60 seconds, prompt and completion together, each counted from when its call was let through.
    pub tokens_per_minute: Option<u64>,
    /// The most requests in one day of Coordinated Universal Time.
    pub requests_per_day: Option<u32>,
    /// The most calls under way at once.
    pub concurrency: Option<u32>,
    /// How many of the requests of a minute may be begun at once, from 1. The others are then spaced evenly, a minute divided
    /// by `requests_per_minute` apart; without that one it says nothing. For providers that look at spans shorter than a minute.
    pub burst: Option<u32>,
}

impl Limits {
    /// No limit at all.
    pub const fn none() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            requests_per_day: None,
            concurrency: None,
            burst: None,
        }
    }

    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// Sets the most requests in any 60 seconds. With 0 nothing is ever let through.
    #[must_use]
    pub const fn with_requests_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = Some(requests);
        self
    }

    /// Sets the most tokens in any 60 seconds.
    #[must_use]
    pub const fn with_tokens_per_minute(mut self, tokens: u64) -> Self {
        self.tokens_per_minute = Some(tokens);
        self
    }

    /// Sets the most requests in one UTC day. With 0 nothing is ever let through.
    #[must_use]
    pub const fn with_requests_per_day(mut self, requests: u32) -> Self {
        self.requests_per_day = Some(requests);
        self
    }

    /// Sets the most calls at once. With 0 nothing is ever let through.
    #[must_use]
    pub const fn with_concurrency(mut self, calls: u32) -> Self {
        self.concurrency = Some(calls);
        self
    }

    /// Sets how many requests may be begun at once; 0 counts as 1.
    #[must_use]
    pub const fn with_burst(mut self, requests: u32) -> Self {
        self.burst = Some(requests);
        self
    }
}

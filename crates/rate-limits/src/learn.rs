//! What an answer teaches about a provider's limits.

use std::time::Duration;

use integration_core::{Delivery, Error, ErrorKind, RateLimitFacts, RetryClass};

/// How far a provider's word is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LearnRules {
    /// The longest pause a provider can impose, 10 minutes unless set. Only a day's quota that is used up closes for longer:
    /// until the reset that was told, but at the latest until the next 00:00 UTC, and until then where none was told.
    pub longest_pause: Duration,
    /// How long a refusal closes that does not say how long, 1 second unless set. One that tells of limits whose reset is now or
    /// past does not say it either.
    pub pause_without_hint: Duration,
}

impl Default for LearnRules {
    fn default() -> Self {
        Self {
            longest_pause: Duration::from_secs(600),
            pause_without_hint: Duration::from_secs(1),
        }
    }
}

impl LearnRules {
    /// Sets the longest pause a provider can impose.
    #[must_use]
    pub const fn with_longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Sets how long a refusal closes that does not say how long.
    #[must_use]
    pub const fn with_pause_without_hint(mut self, pause: Duration) -> Self {
        self.pause_without_hint = pause;
        self
    }
}

/// What one answer taught.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Lesson {
    /// Whether the provider refused because of a rate limit.
    pub refused: bool,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// What it told of its limits.
    pub facts: RateLimitFacts,
}

impl Lesson {
    /// What the head of an answer told; `None` if nothing.
    pub fn from_facts(facts: &RateLimitFacts) -> Option<Self> {
        (!facts.is_empty()).then(|| Self {
            facts: facts.clone(),
            ..Self::default()
        })
    }

    /// What an error teaches; `None` if nothing. Only a provider's own answer teaches: not an error that never left this
    /// machine, such as a limiter's. Beside refusals because of a rate limit, an error counts that names a time to wait and
    /// may be repeated after it (an overloaded model, a budget in use by other calls).
    pub fn from_error(error: &Error) -> Option<Self> {
        if !matches!(error.delivery(), Delivery::Answered | Delivery::Partial) {
            return None;
        }
        let refused = error.kind() == ErrorKind::RateLimited;
        let asks = error.retry_class() == RetryClass::SameDeployment;
        let lesson = Self {
            refused,
            retry_after: error.retry_after().filter(|_| refused || asks),
            facts: error.rate_limits().cloned().unwrap_or_default(),
        };
        let empty = !refused && lesson.retry_after.is_none() && lesson.facts.is_empty();
        (!empty).then_some(lesson)
    }
}

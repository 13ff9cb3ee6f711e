//! What the service remembers of conversations, of prompts in caches, and of endpoints that failed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::bounded::Bounded;
use crate::request::Breakpoint;

/// How long a conversation that says nothing is still led back to its endpoint.
pub(crate) const IDLE: Duration = Duration::from_secs(600);
/// How long a failure is held against an endpoint.
pub(crate) const OUTAGE: Duration = Duration::from_secs(30);
/// How long a part of a prompt is kept, and how long on request. Each use starts the time anew.
const KEPT: Duration = Duration::from_secs(300);
const KEPT_FOR_AN_HOUR: Duration = Duration::from_secs(3_600);
/// The smallest part of a prompt that is kept, in tokens.
pub(crate) const SMALLEST: u64 = 1024;
/// How many conversations are remembered; those that were silent longest go first.
pub(crate) const MOST_SESSIONS: usize = 10_000;
/// How many parts of prompts are kept; those that were used longest ago go first.
pub(crate) const MOST_PROMPTS: usize = 10_000;

/// Which endpoint a conversation is served by.
#[derive(Debug)]
pub(crate) struct Sessions(Bounded<u64, (String, Duration)>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Bounded::new(MOST_SESSIONS))
    }
}

impl Sessions {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The tag of the endpoint, if the conversation has not been idle for too long.
    pub(crate) fn endpoint(&self, session: u64, now: Duration) -> Option<&str> {
        let (tag, used) = self.0.get(&session)?;
        (now.saturating_sub(*used) < IDLE).then_some(tag.as_str())
    }

    pub(crate) fn remember(&mut self, session: u64, tag: &str, now: Duration) {
        self.0.insert(session, (tag.to_owned(), now));
    }
}

/// Which parts of prompts are kept, by a name for the endpoint and the part, and until when.
#[derive(Debug)]
pub(crate) struct PromptCache(Bounded<(u64, u64), Duration>);

impl Default for PromptCache {
    fn default() -> Self {
        Self(Bounded::new(MOST_PROMPTS))
    }
}

/// What a request finds in a cache and what it leaves there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CacheUse {
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) for_an_hour: bool,
}

impl PromptCache {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Uses the cache: the longest part that is there is read, and what is marked beyond it is written.
    pub(crate) fn take(&mut self, place: u64, points: &[Breakpoint], now: Duration) -> CacheUse {
        let large = || points.iter().filter(|point| point.tokens >= SMALLEST);
        let there = |point: &&Breakpoint| {
            self.0
                .get(&(place, point.prefix))
                .is_some_and(|until| *until > now)
        };
        let read = large().filter(there).map(|point| point.tokens).max().unwrap_or(0);
        let end = large().map(|point| point.tokens).max().unwrap_or(0);
        let for_an_hour = large().any(|point| point.for_an_hour && point.tokens > read);
        for point in large() {
            let time = if point.for_an_hour { KEPT_FOR_AN_HOUR } else { KEPT };
            let (until, _) = self.0.write((place, point.prefix), Duration::default);
            *until = (*until).max(now.saturating_add(time));
        }
        CacheUse {
            read,
            written: end.saturating_sub(read),
            for_an_hour,
        }
    }
}

/// How the attempts at an endpoint ended of late. There are no more entries than endpoints of the catalogue.
#[derive(Debug, Default)]
pub(crate) struct Health(BTreeMap<u64, VecDeque<(Duration, bool)>>);

/// So many attempts are looked at.
const LOOKED_AT: usize = 32;

impl Health {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn note(&mut self, endpoint: u64, now: Duration, good: bool) {
        let attempts = self.0.entry(endpoint).or_default();
        if attempts.len() == LOOKED_AT {
            attempts.pop_front();
        }
        attempts.push_back((now, good));
    }

    /// Whether at least half of the attempts of the last half minute failed.
    pub(crate) fn is_down(&self, endpoint: u64, now: Duration) -> bool {
        let Some(attempts) = self.0.get(&endpoint) else {
            return false;
        };
        let recent = attempts.iter().filter(|(at, _)| now.saturating_sub(*at) < OUTAGE);
        let (all, bad) = recent.fold((0, 0), |(all, bad), (_, good)| (all + 1, bad + u32::from(!good)));
        bad > 0 && bad * 2 >= all
    }
}

/// Whether a failure counts against the endpoint: not where the request or its rate is the reason.
pub(crate) fn counts_against(status: u16) -> bool {
    !matches!(status, 400 | 403 | 413 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_conversation_is_forgotten_after_ten_idle_minutes() {
        let mut sessions = Sessions::default();
        sessions.remember(1, "azure", SECOND);
        assert_eq!(sessions.endpoint(1, IDLE), Some("azure"));
        assert_eq!(sessions.endpoint(1, IDLE + SECOND), None);
        assert_eq!(sessions.endpoint(2, SECOND), None);
        sessions.remember(1, "openai", IDLE);
        assert_eq!(sessions.endpoint(1, IDLE + SECOND), Some("openai"));
        // However many there are at once, those that were used last are remembered.
        for session in 0..=MOST_SESSIONS as u64 {
            sessions.remember(session, "x", IDLE * 3);
        }
        assert_eq!(sessions.len(), MOST_SESSIONS);
        assert_eq!(sessions.endpoint(0, IDLE * 3), None);
        assert_eq!(sessions.endpoint(1, IDLE * 3), Some("x"));
    }

    fn point(tokens: u64, prefix: u64, for_an_hour: bool) -> Breakpoint {
        Breakpoint {
            tokens,
            prefix,
            for_an_hour,
        }
    }

    #[test]
    fn the_longest_part_is_read_and_the_rest_is_written() {
        let mut cache = PromptCache::default();
        let used = |read, written, for_an_hour| CacheUse {
            read,
            written,
            for_an_hour,
        };
        let first = [point(2_000, 1, false), point(3_000, 2, true)];
        assert_eq!(cache.take(7, &first, SECOND), used(0, 3_000, true));
        assert_eq!(cache.take(7, &first, SECOND), used(3_000, 0, false));
        let longer = [point(2_000, 1, false), point(5_000, 3, false)];
        assert_eq!(cache.take(7, &longer, SECOND), used(2_000, 3_000, false));
        // Another endpoint has another cache.
        assert_eq!(cache.take(8, &first, SECOND), used(0, 3_000, true));
        // Five minutes are over, the hour is not.
        assert_eq!(cache.take(7, &first[..1], SECOND * 302), used(0, 2_000, false));
        assert_eq!(cache.take(7, &first[1..], SECOND * 302), used(3_000, 0, false));
        // Too small to be kept at all.
        let small = [point(SMALLEST - 1, 9, false)];
        assert_eq!(cache.take(7, &small, SECOND), CacheUse::default());
        assert_eq!(cache.take(7, &small, SECOND), CacheUse::default());
    }

    #[test]
    fn an_endpoint_is_down_for_half_a_minute_after_it_failed() {
        let mut health = Health::default();
        assert!(!health.is_down(1, SECOND));
        health.note(1, SECOND, false);
        assert!(health.is_down(1, SECOND * 30) && !health.is_down(1, SECOND * 31));
        assert!(!health.is_down(2, SECOND));
        health.note(1, SECOND * 2, true);
        assert!(health.is_down(1, SECOND * 3));
        health.note(1, SECOND * 2, true);
        assert!(!health.is_down(1, SECOND * 3));
        for _ in 0..100 {
            health.note(1, SECOND * 4, false);
        }
        assert!(health.is_down(1, SECOND * 4) && health.0[&1].len() == LOOKED_AT);
        assert!(counts_against(503) && counts_against(404) && !counts_against(429));
    }
}

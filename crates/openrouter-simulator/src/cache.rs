//! The response cache: whole answers, for those who ask for them. A fault wins over it: an answer with one is never put in,
//! and a hit is not shown where the request, or a rule about its model as a whole, asks for one.

use std::time::Duration;

use crate::bounded::Bounded;
use crate::problem::Problem;
use crate::serve::Served;
use crate::simulation::SimulatedRequest;

/// How long an answer is kept unless the request says otherwise.
const USUAL: Duration = Duration::from_secs(300);
const LONGEST: u64 = 86_400;
/// How many answers are kept; those that were made first go first.
pub(crate) const MOST: usize = 1_000;

/// What a request says of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) lifetime: Duration,
    /// Whether an answer that is there is to be made anew.
    pub(crate) clear: bool,
}

impl Wish {
    /// `None` where the request does not ask for the cache.
    pub(crate) fn read(request: &SimulatedRequest<'_>) -> Result<Option<Self>, Problem> {
        let says = |name: &str| {
            let value = request.header(name);
            value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
        };
        let lifetime = match request.header("x-openrouter-cache-ttl") {
            None => USUAL,
            Some(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|seconds| (1..=LONGEST).contains(seconds))
                .map(Duration::from_secs)
                .ok_or_else(|| {
                    Problem::invalid(format!(
                        "X-OpenRouter-Cache-TTL: expected a whole number from 1 to {LONGEST}"
                    ))
                })?,
        };
        let clear = says("x-openrouter-cache-clear");
        Ok(says("x-openrouter-cache").then_some(Self { lifetime, clear }))
    }
}

#[derive(Debug)]
struct Entry {
    served: Served,
    made: Duration,
    until: Duration,
}

/// The answers that are kept, by a name for key, route, stream flag and body.
#[derive(Debug)]
pub(crate) struct ResponseCache(Bounded<u64, Entry>);

impl Default for ResponseCache {
    fn default() -> Self {
        Self(Bounded::new(MOST))
    }
}

/// An answer out of the cache.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) served: Served,
    pub(crate) age: Duration,
    pub(crate) left: Duration,
}

impl ResponseCache {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn find(&self, name: u64, now: Duration) -> Option<Hit> {
        let entry = self.0.get(&name).filter(|entry| entry.until > now)?;
        Some(Hit {
            served: entry.served.clone(),
            age: now.saturating_sub(entry.made),
            left: entry.until.saturating_sub(now),
        })
    }

    pub(crate) fn keep(&mut self, name: u64, served: Served, lifetime: Duration, now: Duration) {
        let until = now.saturating_add(lifetime);
        self.0.insert(
            name,
            Entry {
                served,
                made: now,
                until,
            },
        );
    }
}

//! What the head of an answer tells beside its body: the generation, rate limits, and whether a cache answered.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http_transport::HeaderMap;
use http_transport::date::{MAX_RETRY_AFTER, rfc3339, until};
use integration_core::{GenerationId, RateLimitFacts, RatePeriod, RateWindow, Usage};

/// What the head of an answer tells beside its body. [`ErrorReader::read_head`](super::ErrorReader::read_head) reads it.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct AnswerHead {
    /// The generation, by `X-Generation-Id`: the reliable id, and the first to be known.
    pub generation: Option<GenerationId>,
    /// What was told about rate limits. OpenRouter tells nothing where a call succeeds.
    pub rate_limits: Option<Box<RateLimitFacts>>,
    /// Whether OpenRouter's cache of answers gave this one (`X-OpenRouter-Cache-Status: HIT`): then nothing is billed.
    pub from_cache: bool,
}

impl AnswerHead {
    /// A head that names the generation and nothing else.
    pub fn of_generation(id: GenerationId) -> Self {
        Self {
            generation: Some(id),
            ..Self::default()
        }
    }

    pub(crate) fn read(
        headers: &HeaderMap,
        clean: impl Fn(&str) -> String,
        now: &dyn Fn() -> SystemTime,
    ) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        // Nearly no answer tells of limits, so the nine names are looked up only if one of them is there.
        let limited = headers
            .keys()
            .any(|name| name.as_str().starts_with("x-ratelimit-"));
        Self {
            generation: text("x-generation-id").and_then(|id| GenerationId::new(clean(id)).ok()),
            rate_limits: limited
                .then(|| rate_limits(&|name| text(name).map(Cow::Borrowed), now, None).map(Box::new))
                .flatten(),
            from_cache: text("x-openrouter-cache-status")
                .is_some_and(|status| status.trim().eq_ignore_ascii_case("hit")),
        }
    }

    /// The usage as the books need it: an answer out of the cache says so, even if its body reports no usage at all.
    pub(crate) fn complete(&self, usage: Option<Usage>) -> Option<Usage> {
        if !self.from_cache {
            return usage;
        }
        let mut usage = usage.unwrap_or_default();
        usage.answer_from_cache = true;
        Some(usage)
    }
}

/// A head of which only the generation is known, or nothing.
impl From<Option<GenerationId>> for AnswerHead {
    fn from(generation: Option<GenerationId>) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }
}

/// The names of a limit's size, of what is left of it, and of when it starts anew: OpenRouter's own, and other providers'.
const OWN: [&str; 3] = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
const REQUESTS: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
const TOKENS: [&str; 3] = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];

/// How a reset is read.
type Reset = fn(&str, &dyn Fn() -> SystemTime) -> Option<Duration>;

/// Where a header's value comes from: the head of the answer, or the copy of one inside an error.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<Cow<'a, str>> + 'a;

/// Reads `X-RateLimit-*`, both OpenRouter's own (of requests) and the names that other providers give their limits of
/// requests and of tokens. `period`: how long the window of requests is, where something else tells it.
pub(crate) fn rate_limits(
    header: &Lookup<'_>,
    now: &dyn Fn() -> SystemTime,
    period: Option<RatePeriod>,
) -> Option<RateLimitFacts> {
    let count = |name: &str| header(name)?.trim().parse::<u64>().ok();
    let window = |[limit, remaining, resets]: [&str; 3], read: Reset| {
        let mut window = RateWindow::new();
        window.limit = count(limit);
        window.remaining = count(remaining);
        window.resets_in = header(resets).and_then(|text| read(&text, now));
        (window != RateWindow::new()).then_some(window)
    };
    let mut facts = RateLimitFacts::default();
    facts.requests = window(OWN, reset).or_else(|| window(REQUESTS, lasting));
    facts.tokens = window(TOKENS, lasting);
    if period.is_some() {
        facts.requests.get_or_insert_default().period = period;
    }
    (!facts.is_empty()).then_some(facts)
}

/// How long until the point in time that `X-RateLimit-Reset` names, in milliseconds since the Unix epoch. A number that small
/// can only be seconds.
pub(crate) fn reset(text: &str, now: &dyn Fn() -> SystemTime) -> Option<Duration> {
    let number: u64 = text.trim().parse().ok()?;
    let since = if number < 100_000_000_000 {
        Duration::from_secs(number)
    } else {
        Duration::from_millis(number)
    };
    Some(until(SystemTime::UNIX_EPOCH.checked_add(since)?, now()))
}

/// How long until a reset that is told as a duration (`6m0s`, `250ms`, a number of seconds) or as a date.
fn lasting(text: &str, now: &dyn Fn() -> SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Some(date) = rfc3339(text) {
        return Some(until(date, now()));
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += number
            * match rest.get(..letters)? {
                "ms" => 0.001,
                "s" | "" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = rest.get(letters..)?;
    }
    (!text.is_empty()).then(|| Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_every_form() {
        let now = || SystemTime::UNIX_EPOCH;
        for (text, expected) in [
            ("6m0s", Some(360_000)),
            ("250ms", Some(250)),
            ("1h2m3.5s", Some(3_723_500)),
            ("7", Some(7_000)),
            ("1d", Some(86_400_000)),
            ("9000d", Some(86_400_000)),
            ("1970-01-01T00:01:00Z", Some(60_000)),
            ("", None),
            ("soon", None),
            ("1..2s", None),
            ("3 weeks", None),
        ] {
            assert_eq!(lasting(text, &now), expected.map(Duration::from_millis), "{text}");
        }
    }
}

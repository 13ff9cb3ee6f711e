//! What a provider has told of its limits. It only ever tightens what is configured, and it is forgotten again.

use std::time::{Duration, Instant};

use integration_core::{RateLimitFacts, RatePeriod, RateWindow};

use crate::state::later;
use crate::window::MINUTE;

/// How long a limit of requests or tokens per minute that was told holds without being told again.
const LIMIT_HOLDS: Duration = Duration::from_secs(600);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Requests,
    Tokens,
}

#[derive(Debug, Default)]
struct Told {
    /// The limit of one window, and when it is forgotten.
    limit: Option<(u64, Instant)>,
    left: Option<Left>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    amount: u64,
    until: Instant,
    /// Which word of the provider this is, from 1.
    word: u64,
    /// Told by a refusal. An answer that was begun before it and is read after it does not undo it, unless it names a
    /// higher limit than was known: then the account has changed.
    firm: bool,
}

const MINUTES: usize = 0;
const DAYS: usize = 1;
const UNKNOWN: usize = 2;

/// One window for each kind and period: minute, day, and the one whose length was not told.
#[derive(Debug, Default)]
pub(crate) struct ToldLimits {
    windows: [[Told; 3]; 2],
    /// How often something was said to be left.
    words: u64,
}

/// From which words of the provider an amount was taken; 0 where from none. A later word has replaced them: the provider may
/// have counted the call by then, so only what is left of the same word is corrected.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken([u64; 3]);

impl ToldLimits {
    /// Takes note of facts. `to_midnight` is how long until the next 00:00 UTC. Says whether they close a window that has
    /// nothing left.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        to_midnight: Duration,
        facts: &RateLimitFacts,
        refused: bool,
        longest: Duration,
    ) -> bool {
        let mut closed = false;
        for (kind, window) in [(Kind::Requests, &facts.requests), (Kind::Tokens, &facts.tokens)] {
            if let Some(window) = window {
                closed |= self.learn_window(now, to_midnight, kind, window, refused, longest);
            }
        }
        closed
    }

    fn learn_window(
        &mut self,
        now: Instant,
        to_midnight: Duration,
        kind: Kind,
        window: &RateWindow,
        refused: bool,
        longest: Duration,
    ) -> bool {
        let (period, holds, resets_in) = match window.period {
            Some(RatePeriod::Minute) => (
                MINUTES,
                LIMIT_HOLDS,
                Some(window.resets_in.unwrap_or(MINUTE).min(longest)),
            ),
            Some(RatePeriod::Day) => (
                DAYS,
                to_midnight,
                Some(window.resets_in.unwrap_or(to_midnight).min(to_midnight)),
            ),
            _ => (
                UNKNOWN,
                Duration::ZERO,
                window.resets_in.map(|reset| reset.min(longest)),
            ),
        };
        let told = &mut self.windows[kind as usize][period];
        let raised = told.limit.is_some_and(|(known, _)| window.limit > Some(known));
        if let Some(limit) = window.limit {
            told.limit = Some((limit, now + holds));
        }
        // A day's quota that is refused and not counted is used up.
        let remaining = window
            .remaining
            .or_else(|| (refused && period == DAYS).then_some(0));
        let (Some(amount), Some(resets_in)) = (remaining, resets_in) else {
            return false;
        };
        let closed = told.left.is_some_and(|left| left.firm && left.until > now);
        if !closed || refused || raised {
            self.words += 1;
            told.left = Some(Left {
                amount,
                until: later(now, resets_in),
                word: self.words,
                firm: refused && amount == 0,
            });
        }
        amount == 0 && !resets_in.is_zero()
    }

    /// The limit per minute that was told, and how long it still holds.
    pub(crate) fn per_minute(&self, kind: Kind, now: Instant) -> Option<(u64, Duration)> {
        self.limit(kind, MINUTES, now)
    }

    /// The limit of requests per UTC day that was told.
    pub(crate) fn per_day(&self, now: Instant) -> Option<u64> {
        self.limit(Kind::Requests, DAYS, now).map(|(limit, _)| limit)
    }

    fn limit(&self, kind: Kind, period: usize, now: Instant) -> Option<(u64, Duration)> {
        let (limit, until) = self.windows[kind as usize][period].limit?;
        let holds = until.saturating_duration_since(now);
        (!holds.is_zero()).then_some((limit, holds))
    }

    /// How long until `amount` may be had. `None`: now, by what was told.
    pub(crate) fn wait(&self, now: Instant, kind: Kind, amount: u64) -> Option<Duration> {
        self.windows[kind as usize]
            .iter()
            .filter_map(|told| told.left)
            .filter(|left| left.until > now && left.amount < amount)
            .map(|left| left.until - now)
            .max()
    }

    /// Takes an amount off what is left, which is at least as much.
    pub(crate) fn take(&mut self, now: Instant, kind: Kind, amount: u64) -> Taken {
        let mut taken = Taken::default();
        for (told, word) in self.windows[kind as usize].iter_mut().zip(&mut taken.0) {
            if let Some(left) = told.left.as_mut().filter(|left| left.until > now) {
                left.amount = left.amount.saturating_sub(amount);
                *word = left.word;
            }
        }
        taken
    }

    /// Puts another amount in the place of one that was taken.
    pub(crate) fn correct(&mut self, kind: Kind, taken: Taken, before: u64, after: u64) {
        for (told, word) in self.windows[kind as usize].iter_mut().zip(taken.0) {
            if let Some(left) = told.left.as_mut().filter(|left| left.word == word) {
                left.amount = left.amount.saturating_add(before).saturating_sub(after);
            }
        }
    }

    /// Whether nothing that was told still holds.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.windows.iter().flatten().all(|told| {
            told.limit.is_none_or(|(_, until)| until <= now) && told.left.is_none_or(|left| left.until <= now)
        })
    }
}

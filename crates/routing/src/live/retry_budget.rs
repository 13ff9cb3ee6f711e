//! How many extra attempts may be made: a share of the calls, so that a failing provider is not met with a multiple of the load.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the window is over which calls and extra attempts are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Into how many slots the window is cut. One more is kept, for the one that the window's start cuts through.
const SLOTS: u64 = 20;
const SLOT_NANOS: u128 = WINDOW.as_nanos() / SLOTS as u128;

/// What extra attempts are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RetryBudgetConfig {
    /// Extra attempts per call begun, 0 to 1. What is not a number counts as 0.
    pub share: f64,
    /// Extra attempts a second that are allowed however few calls there are, so that a quiet service can still try again.
    pub floor_per_second: f64,
}

impl RetryBudgetConfig {
    /// A share of the calls (0 to 1), and a floor in extra attempts a second.
    pub const fn new(share: f64, floor_per_second: f64) -> Self {
        Self {
            share,
            floor_per_second,
        }
    }
}

/// One extra attempt for ten calls, and three a second.
impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self::new(0.1, 3.0)
    }
}

/// Counts calls and the extra attempts made for them: in the ten seconds up to any extra attempt, extra attempts are at most
/// the configured share of the calls begun in those seconds, plus the floor for those seconds.
///
/// A state machine: it reads no clock. Time that goes back counts as the last time seen.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    config: RetryBudgetConfig,
    /// When the first slot began: the first time seen.
    origin: Option<Instant>,
    /// Slots with something in them, oldest first.
    slots: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    index: u64,
    calls: u64,
    spent: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(RetryBudgetConfig::default())
    }
}

impl RetryBudget {
    /// A budget of which nothing is spent.
    pub const fn new(config: RetryBudgetConfig) -> Self {
        Self {
            config,
            origin: None,
            slots: VecDeque::new(),
        }
    }

    /// Counts a call that begins.
    pub fn call(&mut self, now: Instant) {
        let slot = self.slot(now);
        slot.calls = slot.calls.saturating_add(1);
    }

    /// Takes one extra attempt out of the budget; `false`, and nothing taken, if there is none left.
    pub fn try_spend(&mut self, now: Instant) -> bool {
        let granted = self.has_left(now);
        if granted {
            self.slot(now).spent += 1;
        }
        granted
    }

    /// Whether an extra attempt is left.
    pub fn has_left(&mut self, now: Instant) -> bool {
        let current = self.slot(now).index;
        // Both errors of the slots are on the safe side: calls of the slot that the window's start cuts through do not count,
        // what was spent in it does.
        let (mut calls, mut spent) = (0_u64, 0_u64);
        for slot in &self.slots {
            spent = spent.saturating_add(slot.spent);
            if slot.index + SLOTS > current {
                calls = calls.saturating_add(slot.calls);
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of ten seconds are far below 2^52"
        )]
        let (calls, wanted) = (calls as f64, spent.saturating_add(1) as f64);
        let allowed = calls * not_less_than_zero(self.config.share)
            + not_less_than_zero(self.config.floor_per_second) * WINDOW.as_secs_f64();
        // A share of a tenth is not exact in binary: the hundredth call must not miss its tenth attempt by a rounding.
        wanted <= allowed + 1e-6
    }

    /// The slot of this moment; those that no window reaches any more are forgotten.
    fn slot(&mut self, now: Instant) -> &mut Slot {
        let origin = *self.origin.get_or_insert(now);
        let elapsed = now.saturating_duration_since(origin).as_nanos();
        let index = u64::try_from(elapsed / SLOT_NANOS).unwrap_or(u64::MAX - SLOTS);
        let last = self.slots.back().map_or(0, |slot| slot.index);
        let index = index.max(last);
        while self.slots.front().is_some_and(|slot| slot.index + SLOTS < index) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|slot| slot.index < index) {
            self.slots.push_back(Slot {
                index,
                calls: 0,
                spent: 0,
            });
        }
        let at = self.slots.len() - 1;
        &mut self.slots[at]
    }
}

/// A number that is none counts as zero.
fn not_less_than_zero(number: f64) -> f64 {
    if number > 0.0 { number } else { 0.0 }
}

//! Amounts of the last minute, each of which can be changed later: what a rate limit is counted by.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an amount counts.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Up to so many entries the window is exact to the nanosecond.
const EXACT: usize = 1024;

/// Beyond that, amounts added within so short a time share an entry. They leave together with the last of them, so the
/// window may hold an amount so much too long, and never too short.
const GRAIN: Duration = Duration::from_millis(60);

/// An entry, by which its amount can be lowered as long as it counts.
pub(crate) type EntryId = u64;

#[derive(Debug)]
struct Entry {
    opened: Instant,
    at: Instant,
    amount: u64,
}

/// The amounts added within the last minute. At most about 2,000 entries, however much is added.
#[derive(Debug, Default)]
pub(crate) struct Window {
    entries: VecDeque<Entry>,
    /// The id of the first entry.
    first: EntryId,
    sum: u64,
}

impl Window {
    /// Forgets what is a minute old. An amount added at `t` counts until just before `t` + 1 minute.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(entry) = self.entries.front() {
            if now.saturating_duration_since(entry.at) < MINUTE {
                return;
            }
            self.sum = self.sum.saturating_sub(entry.amount);
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// The sum of what counts, as of the last [`expire`](Self::expire).
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How long until `amount` more fits under `limit`, which is at least `amount`. `None`: it fits now.
    pub(crate) fn wait(&self, now: Instant, amount: u64, limit: u64) -> Option<Duration> {
        let room = limit.saturating_sub(amount);
        let mut left = self.sum;
        if left <= room {
            return None;
        }
        for entry in &self.entries {
            left = left.saturating_sub(entry.amount);
            if left <= room {
                return Some((entry.at + MINUTE).saturating_duration_since(now));
            }
        }
        Some(MINUTE)
    }

    /// Adds an amount. Time must not go back between two additions; if it does, the later time counts.
    pub(crate) fn add(&mut self, now: Instant, amount: u64) -> EntryId {
        self.sum = self.sum.saturating_add(amount);
        let many = self.entries.len() >= EXACT;
        match self.entries.back_mut() {
            Some(last) if many && now.saturating_duration_since(last.opened) < GRAIN => {
                last.at = last.at.max(now);
                last.amount = last.amount.saturating_add(amount);
            }
            last => {
                let at = last.map_or(now, |last| last.at.max(now));
                self.entries.push_back(Entry {
                    opened: at,
                    at,
                    amount,
                });
            }
        }
        self.first + self.entries.len() as u64 - 1
    }

    /// Takes an amount back, if it still counts.
    pub(crate) fn give_back(&mut self, entry: EntryId, amount: u64) {
        let place = entry
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            let amount = amount.min(entry.amount);
            entry.amount -= amount;
            self.sum = self.sum.saturating_sub(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use integration_core::{Clock, ManualClock};

    #[test]
    fn it_is_exact_at_its_edge() {
        let start = ManualClock::new().now();
        let mut window = Window::default();
        window.add(start, 3);
        window.add(start + Duration::from_secs(20), 4);
        let at = start + Duration::from_secs(30);
        assert_eq!(window.wait(at, 3, 10), None);
        assert_eq!(window.wait(at, 4, 10), Some(Duration::from_secs(30)));
        assert_eq!(window.wait(at, 8, 10), Some(Duration::from_secs(50)));
        window.expire(start + MINUTE - Duration::from_nanos(1));
        assert_eq!(window.sum, 7);
        window.expire(start + MINUTE);
        assert_eq!(window.sum, 4);
        window.expire(start + 2 * MINUTE);
        assert!(window.is_empty() && window.sum == 0);
    }

    #[test]
    fn what_has_left_cannot_be_given_back() {
        let start = ManualClock::new().now();
        let mut window = Window::default();
        let old = window.add(start, 3);
        let new = window.add(start + MINUTE, 5);
        window.expire(start + MINUTE);
        window.give_back(old, 3);
        assert_eq!(window.sum, 5);
        // Nor more than was there.
        window.give_back(new, 9);
        window.give_back(new, 9);
        assert_eq!(window.sum, 0);
    }

    #[test]
    fn a_million_amounts_take_the_room_of_two_thousand_and_none_leaves_early() {
        let start = ManualClock::new().now();
        let mut window = Window::default();
        let step = Duration::from_micros(50);
        let mut added = VecDeque::new();
        let mut kept = 0;
        for place in 0..1_200_000_u32 {
            let now = start + step * place;
            window.expire(now);
            window.add(now, 1);
            added.push_back(now);
            kept = kept.max(window.entries.len());
        }
        assert!(kept <= EXACT + 1_001, "{kept}");
        assert_eq!(window.sum, 1_200_000);
        let later = start + MINUTE + Duration::from_secs(20);
        window.expire(later);
        let exact = added.iter().filter(|at| later - **at < MINUTE).count() as u64;
        let slack = GRAIN.as_micros() as u64 / 50 + 1;
        assert!(
            window.sum >= exact && window.sum <= exact + slack,
            "{} {exact}",
            window.sum
        );
    }
}

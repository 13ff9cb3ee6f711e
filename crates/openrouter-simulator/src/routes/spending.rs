//! What was spent, by key and day: for limits that start anew, and for the list of activity.

use std::collections::BTreeMap;

use costing::UtcTime;
use rust_decimal::Decimal;

use crate::bounded::Bounded;
use crate::routes::dates::{DAY, day_of, month_start, next_month, week_start};
use crate::scenario::account::Interval;

impl Interval {
    pub(crate) const NAMES: [&'static str; 3] = ["daily", "weekly", "monthly"];

    pub(crate) fn read(name: &str) -> Option<Self> {
        [Self::Daily, Self::Weekly, Self::Monthly]
            .into_iter()
            .find(|interval| interval.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// The start of the next span.
    pub(crate) fn next(self, now: UtcTime) -> UtcTime {
        let today = day_of(now);
        let day = match self {
            Self::Daily => today + 1,
            Self::Weekly => week_start(today) + 7,
            Self::Monthly => next_month(today),
        };
        UtcTime::from_unix(day * DAY)
    }
}

/// One call, as the books keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spent<'a> {
    pub(crate) at: UtcTime,
    /// The dated name of the model that answered.
    pub(crate) model: &'a str,
    pub(crate) provider: &'a str,
    /// What was charged.
    pub(crate) cost: Decimal,
    /// What the upstream charged to a key of the account's own; 0 where the credits paid.
    pub(crate) byok: Decimal,
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
    pub(crate) cached: u64,
}

/// So many days are told apart: the thirty that the list of activity goes back and the months that limits may have, today, and
/// one for calls that pass each other at midnight.
const DAYS: i64 = 32;
/// How many keys have books of their own; the one that was used longest ago goes first, and what it spent stays in the books
/// of the account.
pub(crate) const MOST_KEYS: usize = 10_000;
/// How many lines are kept that tell the keys apart; the one that was written longest ago goes first.
pub(crate) const MOST_LINES: usize = 50_000;

/// A line of the list of activity before it has a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) day: i64,
    pub(crate) model: String,
    pub(crate) provider: String,
}

/// The sums of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) cost: Decimal,
    pub(crate) byok: Decimal,
    pub(crate) requests: u64,
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
    pub(crate) cached: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Self) {
        self.cost = self.cost.saturating_add(other.cost);
        self.byok = self.byok.saturating_add(other.byok);
        self.requests += other.requests;
        self.prompt += other.prompt;
        self.completion += other.completion;
        self.reasoning += other.reasoning;
        self.cached += other.cached;
    }
}

/// What a key or the account has spent: in all, and on each of the last days since 1970. Each amount is what was charged, and
/// what upstreams charged to keys of the account's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeySpending {
    all: (Decimal, Decimal),
    days: BTreeMap<i64, (Decimal, Decimal)>,
}

/// An amount over four spans of time. Days, weeks and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Windows {
    pub(crate) all: Decimal,
    pub(crate) day: Decimal,
    pub(crate) week: Decimal,
    pub(crate) month: Decimal,
}

impl Windows {
    /// The amount of the span that starts anew so often; all of it where it never does.
    pub(crate) fn within(&self, reset: Option<Interval>) -> Decimal {
        match reset {
            None => self.all,
            Some(Interval::Daily) => self.day,
            Some(Interval::Weekly) => self.week,
            Some(Interval::Monthly) => self.month,
        }
    }
}

impl KeySpending {
    fn add(&mut self, day: i64, cost: Decimal, byok: Decimal) {
        for sum in [&mut self.all, self.days.entry(day).or_default()] {
            sum.0 = sum.0.saturating_add(cost);
            sum.1 = sum.1.saturating_add(byok);
        }
        let newest = self.days.last_key_value().map_or(day, |(newest, _)| *newest);
        while let Some(oldest) = self
            .days
            .first_entry()
            .filter(|oldest| *oldest.key() <= newest - DAYS)
        {
            oldest.remove();
        }
    }

    fn windows(&self, now: UtcTime, part: fn(&(Decimal, Decimal)) -> Decimal) -> Windows {
        let today = day_of(now);
        let since = |first: i64| {
            self.days
                .range(first..)
                .fold(Decimal::ZERO, |sum, (_, spent)| sum.saturating_add(part(spent)))
        };
        Windows {
            all: part(&self.all),
            day: since(today),
            week: since(week_start(today)),
            month: since(month_start(today)),
        }
    }

    /// What the service charged.
    pub(crate) fn charged(&self, now: UtcTime) -> Windows {
        self.windows(now, |(cost, _)| *cost)
    }

    /// What upstreams charged to keys of the account's own.
    pub(crate) fn byok(&self, now: UtcTime) -> Windows {
        self.windows(now, |(_, byok)| *byok)
    }
}

/// The books of the whole account. However many calls there are, they hold no more than 32 days of the catalogue's endpoints,
/// [`MOST_KEYS`] keys and [`MOST_LINES`] lines of keys; the sums of the account are of all calls there ever were.
#[derive(Debug)]
pub(crate) struct Spending {
    account: KeySpending,
    keys: Bounded<u64, KeySpending>,
    lines: BTreeMap<Line, Sums>,
    lines_of_keys: Bounded<(Line, u64), Sums>,
}

impl Default for Spending {
    fn default() -> Self {
        Self {
            account: KeySpending::default(),
            keys: Bounded::new(MOST_KEYS),
            lines: BTreeMap::new(),
            lines_of_keys: Bounded::new(MOST_LINES),
        }
    }
}

impl Spending {
    pub(crate) fn record(&mut self, key: u64, spent: &Spent<'_>) {
        let day = day_of(spent.at);
        self.account.add(day, spent.cost, spent.byok);
        let (of_key, _) = self.keys.write(key, KeySpending::default);
        of_key.add(day, spent.cost, spent.byok);
        let line = Line {
            day,
            model: spent.model.to_owned(),
            provider: spent.provider.to_owned(),
        };
        let sums = Sums {
            cost: spent.cost,
            byok: spent.byok,
            requests: 1,
            prompt: spent.prompt,
            completion: spent.completion,
            reasoning: spent.reasoning,
            cached: spent.cached,
        };
        let (of_key, _) = self.lines_of_keys.write((line.clone(), key), Sums::default);
        of_key.add(&sums);
        self.lines.entry(line).or_default().add(&sums);
        let newest = self.lines.last_key_value().map_or(day, |(line, _)| line.day);
        while let Some(oldest) = self
            .lines
            .first_entry()
            .filter(|oldest| oldest.key().day <= newest - DAYS)
        {
            oldest.remove();
        }
    }

    /// What one key has spent; nothing for one that never did, or so long ago that it is forgotten.
    pub(crate) fn of(&self, key: u64) -> &KeySpending {
        const NOTHING: &KeySpending = &KeySpending {
            all: (Decimal::ZERO, Decimal::ZERO),
            days: BTreeMap::new(),
        };
        self.keys.get(&key).unwrap_or(NOTHING)
    }

    /// What all keys together have spent.
    pub(crate) fn account(&self) -> &KeySpending {
        &self.account
    }

    /// What the service charged in all.
    pub(crate) fn total(&self) -> Decimal {
        self.account.all.0
    }

    /// The lines of some days, the first included and the last not.
    pub(crate) fn lines(&self, days: std::ops::Range<i64>) -> impl Iterator<Item = (&Line, &Sums)> {
        self.lines
            .iter()
            .filter(move |(line, _)| days.contains(&line.day))
    }

    /// The same of each key by itself.
    pub(crate) fn lines_of_keys(
        &self,
        days: std::ops::Range<i64>,
    ) -> impl Iterator<Item = (u64, &Line, &Sums)> {
        self.lines_of_keys
            .iter()
            .map(|((line, key), sums)| (*key, line, sums))
            .filter(move |(_, line, _)| days.contains(&line.day))
    }

    #[cfg(test)]
    pub(crate) fn lens(&self) -> [usize; 3] {
        [self.keys.len(), self.lines.len(), self.lines_of_keys.len()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spent(unix: i64, cents: i64) -> Spent<'static> {
        Spent {
            at: UtcTime::from_unix(unix),
            model: "a/b",
            provider: "X",
            cost: Decimal::new(cents, 2),
            byok: Decimal::ZERO,
            prompt: 1,
            completion: 2,
            reasoning: 0,
            cached: 0,
        }
    }

    #[test]
    fn spans_start_anew_where_the_calendar_does() {
        // Saturday, 2026-08-22, 09:30.
        let now = UtcTime::from_unix(1_787_391_000);
        let next = |interval: Interval| crate::routes::dates::rfc3339(interval.next(now));
        assert_eq!(next(Interval::Daily), "2026-08-23T00:00:00.000Z");
        assert_eq!(next(Interval::Weekly), "2026-08-24T00:00:00.000Z");
        assert_eq!(next(Interval::Monthly), "2026-09-01T00:00:00.000Z");
        for name in Interval::NAMES {
            let interval = Interval::read(name).unwrap();
            assert_eq!(interval.name(), name);
            assert!(interval.next(now) > now);
        }
        assert_eq!(Interval::read("yearly"), None);
    }

    proptest! {
        #[test]
        fn the_windows_are_sums_over_their_days(calls in proptest::collection::vec((0i64..100 * 86_400, 1i64..100), 0..30), wait in 0i64..40 * 86_400) {
            let mut books = Spending::default();
            // Time does not go back.
            let mut calls = calls;
            calls.sort_unstable();
            let now = calls.last().map_or(0, |(unix, _)| *unix) + wait;
            for (unix, cents) in &calls {
                books.record(1, &spent(*unix, *cents));
                books.record(2, &spent(*unix, 7));
            }
            let windows = books.of(1).charged(UtcTime::from_unix(now));
            let today = now.div_euclid(86_400);
            // A day at a time, back to the first of the week and of the month.
            let naive = |ends: &dyn Fn(i64) -> bool| {
                let mut first = today;
                while !ends(first) { first -= 1; }
                calls.iter().filter(|(unix, _)| unix.div_euclid(86_400) >= first).map(|(_, cents)| cents).sum::<i64>()
            };
            let weekday = |day: i64| UtcTime::from_unix(day * 86_400).weekday();
            prop_assert_eq!(windows.day, Decimal::new(naive(&|_| true), 2));
            prop_assert_eq!(windows.week, Decimal::new(naive(&|day| weekday(day) == costing::Weekday::Monday), 2));
            prop_assert_eq!(windows.month, Decimal::new(naive(&|day| crate::routes::dates::civil(day).2 == 1), 2));
            let all: i64 = calls.iter().map(|(_, cents)| cents).sum();
            prop_assert_eq!(windows.all, Decimal::new(all, 2));
            let both = Decimal::new(all + 7 * i64::try_from(calls.len()).unwrap(), 2);
            prop_assert_eq!((books.total(), books.account().charged(UtcTime::from_unix(now)).all), (both, both));
            prop_assert!(books.account.days.len() <= 32 && books.lens()[1] <= 32);
            // Of the days that the list of activity shows, none is missing.
            let listed: i64 = calls.iter().filter(|(unix, _)| (today - 30..today).contains(&unix.div_euclid(86_400)))
                .map(|(_, cents)| cents + 7).sum();
            let lines = books.lines(today - 30..today);
            prop_assert_eq!(lines.fold(Decimal::ZERO, |sum, (_, line)| sum + line.cost), Decimal::new(listed, 2));
        }
    }
}

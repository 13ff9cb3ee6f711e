//! What a month will have cost at its end.
#![allow(clippy::float_arithmetic, reason = "a statistic, never an amount of record")]

use crate::report::calendar::Date;
use crate::rollup::{PicoSum, RollupRow};
use crate::time::UtcTime;

const DAY: i64 = 86_400;
/// Below so many whole days nothing can be said of weekdays.
const LEAST_DAYS: usize = 7;
/// How many days are looked back at: weekdays of long ago say little.
const WINDOW: usize = 56;
/// Below so many one-day errors a range would be made up.
const LEAST_ERRORS: usize = 7;

/// How a forecast is made.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ForecastOptions {
    /// How much the last day counts in the level, from 0 to 1.
    pub alpha: f64,
    /// How many times the rest of the month is played through for the range.
    pub runs: usize,
    /// The beginning of the random numbers: the same seed, the same range.
    pub seed: u64,
}

impl ForecastOptions {
    /// As the default, with random numbers from here.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }
}

/// α = 0.3, 1,000 runs, seed 0.
impl Default for ForecastOptions {
    fn default() -> Self {
        Self {
            alpha: 0.3,
            runs: 1_000,
            seed: 0,
        }
    }
}

/// How the days to come are guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForecastMethod {
    /// Every day as the mean of the days there were. All that can be said in the first week.
    RunRate,
    /// A level that follows the last days, times how each weekday is beside the others.
    Weekdays,
}

/// What the same method would have said of weeks that are over.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Backtest {
    /// The mean of how far it would have been off, as a share of what was spent: 0.1 is ten percent.
    pub mean_error: f64,
    /// From how many days it was tried.
    pub tries: usize,
    /// How many days ahead, each time.
    pub days_ahead: usize,
}

impl Backtest {
    /// The mean error as a percentage for people, to a tenth.
    pub(crate) fn mean_percent(&self) -> String {
        format!("{:.1}", self.mean_error * 100.0)
    }
}

/// A guess in US dollars, as text: in whole cents where there are many, else to a millionth.
pub(crate) fn about(usd: f64) -> String {
    if usd.abs() >= 100.0 {
        format!("{usd:.2}")
    } else {
        format!("{usd:.6}")
    }
}

/// What a month will have cost at its end. The amount spent is exact; the others are guesses in US dollars.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Forecast {
    /// The first second after the month.
    pub until: UtcTime,
    /// What was charged this month so far, as far as it is known.
    pub spent: PicoSum,
    /// Attempts of this month whose cost is not known: the spent amount is at least the one above.
    pub unknown: u64,
    /// How the rest was guessed.
    pub method: ForecastMethod,
    /// Whole days that were looked back at.
    pub days: usize,
    /// What the month will have cost; `None` without a whole day to judge by.
    pub expected: Option<f64>,
    /// One month in ten ends below the first, one in ten above the second; `None` where there are too few days to say.
    pub range: Option<(f64, f64)>,
    /// How good such forecasts were until now; `None` where there are too few days to say.
    pub backtest: Option<Backtest>,
}

impl Forecast {
    /// What is to be said of the method, in one sentence.
    pub const fn note(&self) -> &'static str {
        match (self.method, self.expected) {
            (_, None) => "there is no whole day to judge by yet",
            (ForecastMethod::RunRate, _) => "less than seven whole days: the mean of them, and no range",
            (ForecastMethod::Weekdays, _) => "by weekday, at the level of the last days",
        }
    }
}

/// US dollars for statistics.
#[expect(clippy::cast_precision_loss, reason = "a statistic")]
pub(super) fn usd(sum: PicoSum) -> f64 {
    sum.get() as f64 / 1e12
}

/// Foresees the charge of the month that `now` is in, from the whole days before today. Today counts with what is foreseen for
/// it or what was spent already, whichever is more. Simulated calls and rows by tag are passed over.
pub fn forecast(rows: &[RollupRow], now: UtcTime, options: &ForecastOptions) -> Forecast {
    let date = Date::of(now);
    let (month, until) = (date.month_start(), date.next_month_start());
    let today = now.unix().div_euclid(DAY);
    let used = || {
        rows.iter()
            .filter(|row| !row.key.simulated && row.key.tag.is_none() && UtcTime::from(row.key.hour) <= now)
    };
    let day_of = |row: &RollupRow| UtcTime::from(row.key.hour).unix().div_euclid(DAY);
    let this_month = || used().filter(|row| UtcTime::from(row.key.hour) >= month);
    let spent: PicoSum = this_month().map(|row| row.sums.charge).sum();
    let spent_today: PicoSum = used()
        .filter(|row| day_of(row) == today)
        .map(|row| row.sums.charge)
        .sum();
    let unknown = this_month().fold(0_u64, |sum, row| sum.saturating_add(row.sums.unknown));

    // Days without a row between the first one and today are days on which nothing was spent.
    let first = used()
        .map(day_of)
        .min()
        .unwrap_or(today)
        .max(today - i64::try_from(WINDOW).unwrap_or(0));
    let mut days = vec![0.0; usize::try_from(today - first).unwrap_or(0)];
    for row in used() {
        let index = usize::try_from(day_of(row) - first).ok();
        if let Some(day) = index.and_then(|index| days.get_mut(index)) {
            *day += usd(row.sums.charge);
        }
    }
    let history = History {
        days: &days,
        first,
        alpha: options.alpha,
    };
    let left = until.unix().div_euclid(DAY) - today;
    let before_today = usd(spent - spent_today);
    let today_so_far = usd(spent_today);
    let guesses: Vec<f64> = (0..left).map(|day| history.guess(today + day)).collect();
    let future = |errors: &mut dyn FnMut() -> f64| {
        let mut least = today_so_far;
        let ahead = guesses.iter().map(|guess| {
            // Today comes to what was spent already at least, any other day to nothing at least.
            (guess + errors()).max(std::mem::take(&mut least))
        });
        before_today + ahead.sum::<f64>()
    };
    let method = if days.len() < LEAST_DAYS {
        ForecastMethod::RunRate
    } else {
        ForecastMethod::Weekdays
    };
    let expected = (!days.is_empty()).then(|| future(&mut || 0.0));
    let errors = history.one_day_errors();
    let range = (errors.len() >= LEAST_ERRORS).then(|| {
        let mut random = Random(options.seed);
        let runs = options.runs.max(10);
        let mut ends: Vec<f64> = (0..runs).map(|_| future(&mut || random.pick(&errors))).collect();
        ends.sort_by(f64::total_cmp);
        let at = |tenth: usize| {
            ends.get(((runs - 1) * tenth + 5) / 10)
                .copied()
                .unwrap_or_default()
        };
        (at(1), at(9))
    });
    let backtest = history.backtest();
    Forecast {
        until,
        spent,
        unknown,
        method,
        days: days.len(),
        expected,
        range,
        backtest,
    }
}

/// Whole days one after the other, and the number of the first since 1970.
struct History<'a> {
    days: &'a [f64],
    first: i64,
    alpha: f64,
}

impl History<'_> {
    fn until(&self, count: usize) -> History<'_> {
        History {
            days: self.days.get(..count).unwrap_or(self.days),
            ..*self
        }
    }

    fn mean(&self) -> f64 {
        mean(self.days.iter().copied())
    }

    /// How a day is beside the others: the mean of that weekday by the mean of all. 1 where nothing is known.
    fn weekday_factor(&self, day: i64) -> f64 {
        let of_weekday = |(index, spent): (usize, &f64)| {
            let that = self.first + i64::try_from(index).unwrap_or(0);
            ((that - day).rem_euclid(7) == 0).then_some(*spent)
        };
        let (alike, all) = (
            mean(self.days.iter().enumerate().filter_map(of_weekday)),
            self.mean(),
        );
        if self.days.len() < LEAST_DAYS || all <= 0.0 {
            1.0
        } else {
            alike / all
        }
    }

    /// What a weekday like all others would come to now: the days, each by its weekday's factor, the last ones counting most.
    fn level(&self) -> f64 {
        if self.days.len() < LEAST_DAYS {
            return self.mean();
        }
        let factors: Vec<f64> = (0..7)
            .map(|weekday| self.weekday_factor(self.first + weekday))
            .collect();
        let mut level = self.mean();
        for (spent, factor) in self.days.iter().zip(factors.iter().cycle()) {
            // A weekday on which nothing is ever spent says nothing of the level.
            if *factor > 0.0 {
                level += self.alpha.clamp(0.0, 1.0) * (spent / factor - level);
            }
        }
        level
    }

    fn guess(&self, day: i64) -> f64 {
        self.level() * self.weekday_factor(day)
    }

    /// What was spent less what would have been guessed the day before, of every day after the first week.
    fn one_day_errors(&self) -> Vec<f64> {
        let day = |index: usize| self.first + i64::try_from(index).unwrap_or(0);
        (LEAST_DAYS..self.days.len())
            .filter_map(|index| Some(self.days.get(index)? - self.until(index).guess(day(index))))
            .collect()
    }

    /// From every day after the first week that has a week after it: the guess for that week beside what it came to.
    fn backtest(&self) -> Option<Backtest> {
        let days_ahead = 7;
        let errors: Vec<f64> = (LEAST_DAYS..=self.days.len().checked_sub(days_ahead)?)
            .filter_map(|count| {
                let actual: f64 = self.days.get(count..count + days_ahead)?.iter().sum();
                let known = self.until(count);
                let ahead = (count..count + days_ahead).filter_map(|index| i64::try_from(index).ok());
                let guess: f64 = ahead.map(|index| known.guess(self.first + index)).sum();
                (actual > 0.0).then(|| (guess - actual).abs() / actual)
            })
            .collect();
        let tries = errors.len();
        (tries > 0).then(|| Backtest {
            mean_error: mean(errors.into_iter()),
            tries,
            days_ahead,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of days")]
fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = numbers.fold((0_usize, 0.0), |(count, sum), number| (count + 1, sum + number));
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn pick(&mut self, numbers: &[f64]) -> f64 {
        let count = u64::try_from(numbers.len()).unwrap_or(1).max(1);
        let index = usize::try_from(self.next() % count).unwrap_or_default();
        numbers.get(index).copied().unwrap_or_default()
    }
}

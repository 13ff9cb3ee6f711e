//! The spans of time that a budget is counted over, in Coordinated Universal Time.

use std::fmt;
use std::str::FromStr;

use crate::time::UtcTime;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// How long a budget is counted before it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Window {
    /// One request with all its attempts. It never begins anew.
    Request,
    /// A minute of the clock.
    Minute,
    /// A day, from midnight to midnight UTC.
    Day,
    /// A month of the calendar, from the first at midnight UTC.
    Month,
}

impl Window {
    /// Every window, the shortest first.
    pub const ALL: [Self; 4] = [Self::Request, Self::Minute, Self::Day, Self::Month];

    /// The word for it in configurations, refusals and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Minute => "minute",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The window that holds at a time: its first second, and the first one that is no longer in it. `None` for
    /// [`Window::Request`], which has nothing to do with the clock.
    pub const fn span(self, at: UtcTime) -> Option<(UtcTime, UtcTime)> {
        let seconds = at.unix();
        let (from, to) = match self {
            Self::Request => return None,
            Self::Minute => {
                let from = seconds.saturating_sub(seconds.rem_euclid(MINUTE));
                (from, from.saturating_add(MINUTE))
            }
            Self::Day => {
                let from = seconds.saturating_sub(seconds.rem_euclid(DAY));
                (from, from.saturating_add(DAY))
            }
            Self::Month => {
                let (year, month) = month_of(seconds.div_euclid(DAY));
                let (next_year, next) = if month == 12 {
                    (year + 1, 1)
                } else {
                    (year, month + 1)
                };
                let from = first_day(year, month).saturating_mul(DAY);
                (from, first_day(next_year, next).saturating_mul(DAY))
            }
        };
        Some((UtcTime::from_unix(from), UtcTime::from_unix(to)))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no window of a budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no window of a budget; there are request, minute, day and month")]
pub struct UnknownWindow(pub String);

impl FromStr for Window {
    type Err = UnknownWindow;

    fn from_str(text: &str) -> Result<Self, UnknownWindow> {
        let found = Self::ALL.into_iter().find(|window| window.as_str() == text);
        found.ok_or_else(|| UnknownWindow(text.to_owned()))
    }
}

/// Days in 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// Days from 0000-03-01, where a year begins whose leap day is its last, to 1970-01-01.
const TO_1970: i64 = 719_468;

/// Year and month (from 1) of a day counted from 1970-01-01.
const fn month_of(day: i64) -> (i64, i64) {
    let day = day.saturating_add(TO_1970);
    let (era, day_of_era) = (day.div_euclid(ERA), day.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era;
    (if month <= 2 { year + 1 } else { year }, month)
}

/// The first day of a month, counted from 1970-01-01.
const fn first_day(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA + day_of_era - TO_1970
}

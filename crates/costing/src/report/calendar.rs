//! Days, hours and months of Coordinated Universal Time, and the periods that reports are about.

use std::fmt;
use std::str::FromStr;

use crate::time::UtcTime;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
}

impl Date {
    pub(crate) fn of(time: UtcTime) -> Self {
        // Years begin in March here, so that the leap day is the last day of one; 719,468 days lead from 0000-03-01 to 1970.
        let days = time.unix().div_euclid(DAY) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
        }
    }

    /// The first second of the day. The month may be 13, which is January of the next year.
    pub(crate) fn start(self) -> UtcTime {
        let (year, month) = (
            self.year + (self.month - 1).div_euclid(12),
            (self.month - 1).rem_euclid(12) + 1,
        );
        let year = year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        UtcTime::from_unix((era * 146_097 + day_of_era - 719_468) * DAY)
    }

    /// The first second of the day's month.
    pub(crate) fn month_start(self) -> UtcTime {
        Self { day: 1, ..self }.start()
    }

    /// The first second of the month after the day's.
    pub(crate) fn next_month_start(self) -> UtcTime {
        Self {
            day: 1,
            month: self.month + 1,
            ..self
        }
        .start()
    }
}

/// `2026-11-23`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// `2026-11-23T10:00:00Z`.
pub(crate) fn rfc3339(time: UtcTime) -> String {
    let second = time.unix().rem_euclid(DAY);
    let (hour, minute, second) = (second / HOUR, second / 60 % 60, second % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", Date::of(time))
}

/// Why a period is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodError {
    /// Not a day or a time that exists, or not written as one.
    #[error("`{0}` is no date; write 2026-11-23, 2026-11-23T10:00:00Z or 2026-11-23T10:00:00+01:00")]
    NotATime(String),
    /// The end is not after the start.
    #[error("the period ends at {to}, which is not after its start at {from}")]
    Empty {
        /// The start.
        from: String,
        /// The end.
        to: String,
    },
    /// A bound within an hour. Reports are made from sums by the hour.
    #[error("{0} is within an hour; reports are made from sums by the hour of UTC")]
    WithinAnHour(String),
    /// A bound before 1970 or after 9999.
    #[error("the period is outside the years 1970 to 9999")]
    OutOfRange,
}

/// A span of time, from its first second up to, and without, its last: whole hours of Coordinated Universal Time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    from: UtcTime,
    to: UtcTime,
}

impl Period {
    /// From `from` up to, and without, `to`.
    ///
    /// # Errors
    /// [`PeriodError`] if that is no span, or its ends are not whole hours between 1970 and 9999.
    pub fn new(from: UtcTime, to: UtcTime) -> Result<Self, PeriodError> {
        let end = Date {
            year: 10_000,
            month: 1,
            day: 1,
        }
        .start();
        if [from, to].iter().any(|time| time.unix() < 0 || *time > end) {
            return Err(PeriodError::OutOfRange);
        }
        if let Some(part) = [from, to].iter().find(|time| time.unix() % HOUR != 0) {
            return Err(PeriodError::WithinAnHour(rfc3339(*part)));
        }
        if from >= to {
            return Err(PeriodError::Empty {
                from: rfc3339(from),
                to: rfc3339(to),
            });
        }
        Ok(Self { from, to })
    }

    /// Reads both bounds, each a day (its first second) or a time with its distance from UTC. `2026-03-29T02:30:00+01:00` is a
    /// time, whatever a clock on some wall showed then.
    ///
    /// # Errors
    /// As [`Period::new`], and [`PeriodError::NotATime`] for what is not on the calendar.
    pub fn parse(from: &str, to: &str) -> Result<Self, PeriodError> {
        Self::new(Self::time(from)?, Self::time(to)?)
    }

    /// Reads one bound, such as `2026-11-23` or `2026-11-23T10:00:00Z`.
    ///
    /// # Errors
    /// [`PeriodError::NotATime`] for what is not on the calendar.
    pub fn time(text: &str) -> Result<UtcTime, PeriodError> {
        parse(text).ok_or_else(|| {
            PeriodError::NotATime(text.chars().take(40).flat_map(char::escape_debug).collect())
        })
    }

    /// The month of UTC that a time is in.
    ///
    /// # Errors
    /// [`PeriodError::OutOfRange`] for a time before 1970 or after 9999.
    pub fn month_of(time: UtcTime) -> Result<Self, PeriodError> {
        // Far outside of these years the months themselves cannot be counted.
        if !(0..400 * 366 * 100 * DAY).contains(&time.unix()) {
            return Err(PeriodError::OutOfRange);
        }
        let date = Date::of(time);
        Self::new(date.month_start(), date.next_month_start())
    }

    /// Its first second.
    pub const fn from(&self) -> UtcTime {
        self.from
    }

    /// The first second after it.
    pub const fn to(&self) -> UtcTime {
        self.to
    }

    /// Whether a time is in it.
    pub fn contains(&self, time: UtcTime) -> bool {
        self.from <= time && time < self.to
    }
}

/// `2026-11-01T00:00:00Z` and so on, both bounds.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", rfc3339(self.from), rfc3339(self.to))
    }
}

/// Both bounds with `/` between, as ISO 8601 has it.
impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let (from, to) = text
            .split_once('/')
            .ok_or_else(|| PeriodError::NotATime(text.chars().take(40).collect()))?;
        Self::parse(from, to)
    }
}

/// `YYYY-MM-DD`, or that and `THH:MM`, optionally `:SS`, and `Z` or `±HH:MM`.
fn parse(text: &str) -> Option<UtcTime> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let day = date_of(date)?;
    let Some(time) = time else { return Some(day) };
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, offset) = time.split_at_checked(at)?;
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |text| digits(text, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let east = match offset {
        "Z" | "z" => 0,
        _ => {
            let (sign, rest) = offset.split_at_checked(1)?;
            let (hours, minutes) = rest.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let east = hours * HOUR + minutes * 60;
            if sign == "-" { -east } else { east }
        }
    };
    Some(UtcTime::from_unix(
        day.unix() + hour * HOUR + minute * 60 + second - east,
    ))
}

fn date_of(text: &str) -> Option<UtcTime> {
    let mut parts = text.split('-');
    let date = Date {
        year: digits(parts.next()?, 4)?,
        month: digits(parts.next()?, 2)?,
        day: digits(parts.next()?, 2)?,
    };
    let start = date.start();
    // A day that is on no calendar comes back as another one.
    (parts.next().is_none() && Date::of(start) == date).then_some(start)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let right = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the arithmetic: one day after the other, by the rules one learns at school.
    #[test]
    fn every_day_of_eight_centuries_is_the_day_after_the_one_before() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..292_194 {
            let time = UtcTime::from_unix(number * DAY + 86_399);
            let date = Date { year, month, day };
            assert_eq!(Date::of(time), date);
            assert_eq!(date.start().unix(), number * DAY);
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn december_is_followed_by_january() {
        let day = |year, month, day| Date { year, month, day };
        assert_eq!(day(2026, 12, 15).next_month_start(), day(2027, 1, 1).start());
        assert_eq!(day(2026, 12, 15).month_start(), day(2026, 12, 1).start());
        assert_eq!(day(2028, 2, 29).next_month_start(), day(2028, 3, 1).start());
    }
}

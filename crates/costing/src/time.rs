//! The instant a price is asked for. An argument, never read from a clock here.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// A second of Coordinated Universal Time, as seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(i64);

impl UtcTime {
    /// An instant by its seconds since 1970-01-01T00:00:00Z; negative before it.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Hour and minute as price windows write them: 100 × hour + minute, from 0 to 2359.
    pub fn hhmm(self) -> u16 {
        let minute = self.0.rem_euclid(DAY) / 60;
        u16::try_from(minute / 60 * 100 + minute % 60).unwrap_or_default()
    }

    /// The day of the week.
    pub const fn weekday(self) -> Weekday {
        // 1970-01-01 was a Thursday.
        match (self.0.div_euclid(DAY) + 3).rem_euclid(7) {
            0 => Weekday::Monday,
            1 => Weekday::Tuesday,
            2 => Weekday::Wednesday,
            3 => Weekday::Thursday,
            4 => Weekday::Friday,
            5 => Weekday::Saturday,
            _ => Weekday::Sunday,
        }
    }
}

/// A time beyond what the system can tell becomes the Unix epoch.
impl From<UtcTime> for SystemTime {
    fn from(time: UtcTime) -> Self {
        let distance = Duration::from_secs(time.0.unsigned_abs());
        let found = if time.0 < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        };
        found.unwrap_or(UNIX_EPOCH)
    }
}

/// Whole seconds; a time before 1970 is rounded down as well.
impl From<SystemTime> for UtcTime {
    fn from(time: SystemTime) -> Self {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => seconds(since),
            Err(before) => {
                let span = before.duration();
                -seconds(span) - i64::from(span.subsec_nanos() > 0)
            }
        })
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    pub(crate) const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The English name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    /// From 0 (Monday) to 6 (Sunday).
    pub(crate) const fn index(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no day of the week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no day of the week")]
pub struct UnknownWeekday(pub String);

/// The English name or its first three letters, in any case.
impl FromStr for Weekday {
    type Err = UnknownWeekday;

    fn from_str(text: &str) -> Result<Self, UnknownWeekday> {
        let known = |day: &&Self| {
            text.eq_ignore_ascii_case(day.as_str())
                || day
                    .as_str()
                    .get(..3)
                    .is_some_and(|short| text.eq_ignore_ascii_case(short))
        };
        Self::ALL
            .iter()
            .find(known)
            .copied()
            .ok_or_else(|| UnknownWeekday(text.to_owned()))
    }
}

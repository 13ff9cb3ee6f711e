//! When a request is made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::UtcTime;

use crate::routes::dates::{civil, day_of};

/// A point in the simulated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Since the start: for everything that lasts for some time.
    pub(crate) since: Duration,
    /// The time of day, in milliseconds since 1970.
    pub(crate) unix_ms: i64,
}

impl Moment {
    pub(crate) fn new(since: Duration, wall: SystemTime) -> Self {
        let unix = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            since,
            unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX),
        }
    }

    pub(crate) fn utc(self) -> UtcTime {
        UtcTime::from_unix(self.unix_ms.div_euclid(1_000))
    }

    /// Minutes since 1970.
    pub(crate) fn minute(self) -> i64 {
        self.unix_ms.div_euclid(60_000)
    }

    /// Days since 1970.
    pub(crate) fn day(self) -> i64 {
        day_of(self.utc())
    }

    /// The time so many seconds later, as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) fn http_date(self, seconds: i64) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let at = UtcTime::from_unix(self.utc().unix().saturating_add(seconds));
        let days = day_of(at);
        let (year, month, day) = civil(days);
        let second = at.unix().rem_euclid(86_400);
        // 1970-01-01 was a Thursday.
        let weekday = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or_default() % 7];
        let month = MONTHS[usize::try_from(month - 1).unwrap_or_default() % 12];
        format!(
            "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_does() {
        let at = Moment::new(Duration::ZERO, UNIX_EPOCH + Duration::from_secs(784_111_770));
        assert_eq!(at.http_date(7), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at.http_date(-30), "Sun, 06 Nov 1994 08:49:00 GMT");
        assert_eq!(at.utc().unix(), 784_111_770);
        assert_eq!((at.day(), at.minute()), (9_075, 13_068_529));
    }
}

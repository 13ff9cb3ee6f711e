//! The few time formats that HTTP answers carry.

use std::time::{Duration, SystemTime};

/// The longest wait [`retry_after`] gives: 24 hours. A server that asks for more is not to be believed.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Reads a `Retry-After` value: whole seconds or an HTTP date, which is taken relative to `now`.
///
/// A date in the past is zero; more than [`MAX_RETRY_AFTER`] is cut to it; anything else (negative, fractional, words) is
/// `None`.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use http_transport::date::retry_after;
/// let now = SystemTime::UNIX_EPOCH;
/// assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
/// assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now), Some(Duration::from_secs(60)));
/// assert_eq!(retry_after("-1", now), None);
/// ```
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are absurd in the same direction.
        return Some(
            value
                .parse()
                .map_or(MAX_RETRY_AFTER, Duration::from_secs)
                .min(MAX_RETRY_AFTER),
        );
    }
    Some(until(http_date(value)?, now))
}

/// How long it is from `now` to `time`: zero where it has passed, at most [`MAX_RETRY_AFTER`].
pub fn until(time: SystemTime, now: SystemTime) -> Duration {
    time.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER)
}

/// Reads an HTTP date in any of the three forms a recipient must accept.
pub fn http_date(text: &str) -> Option<SystemTime> {
    let parts: Vec<&str> = text
        .split([' ', ',', '-', ':'])
        .filter(|part| !part.is_empty())
        .collect();
    let (day, month, year, time) = match parts.as_slice() {
        // Sun, 06 Nov 1994 08:49:37 GMT, and the older Sunday, 06-Nov-94 08:49:37 GMT
        [_, day, month, year, h, m, s, "GMT"] => (day, month, year, (h, m, s)),
        // Sun Nov  6 08:49:37 1994
        [_, month, day, h, m, s, year] => (day, month, year, (h, m, s)),
        _ => return None,
    };
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = MONTHS.iter().position(|name| name == month)? as u32 + 1;
    let year = match (year.len(), number(year)?) {
        (4, year) => year,
        (2, year @ 70..) => 1900 + year,
        (2, year) => 2000 + year,
        _ => return None,
    };
    system_time(
        year,
        month,
        number(day)?,
        number(time.0)?,
        number(time.1)?,
        number(time.2)?,
    )
}

/// Reads an RFC 3339 time, such as `2026-10-30T00:00:00.000Z`. Fractions of a second are dropped.
pub fn rfc3339(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let clock = rest.get(..8)?;
    let zone = rest
        .get(8..)?
        .trim_start_matches('.')
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let mut clock = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let time = system_time(year, month, day, hour, minute, second)?;
    if matches!(zone, "Z" | "z") {
        return Some(time);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let offset = Duration::from_secs(u64::from(number(hours)? * 3600 + number(minutes)? * 60));
    match zone.get(..1)? {
        "+" => time.checked_sub(offset),
        "-" => time.checked_add(offset),
        _ => None,
    }
}

/// At most four digits, so that no arithmetic on it can overflow.
fn number(text: &str) -> Option<u32> {
    (text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn system_time(year: u32, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> Option<SystemTime> {
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Days since the epoch, with years that begin in March so that the leap day comes last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (y, m, day) = (u64::from(y), u64::from(m), u64::from(day));
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    const EPOCH: u64 = 719_468;
    let seconds = days.checked_sub(EPOCH)? * 86_400 + u64::from(hour * 3600 + minute * 60 + second);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(time: SystemTime) -> u64 {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn the_three_http_forms_name_the_same_second() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text).map(seconds), Some(784_111_777), "{text}");
        }
        assert_eq!(
            http_date("Tue, 29 Feb 2028 00:00:00 GMT").map(seconds),
            Some(1_835_395_200)
        );
        assert_eq!(
            http_date("Friday, 01-Jan-27 00:00:00 GMT").map(seconds),
            Some(1_798_761_600)
        );
    }

    #[test]
    fn rfc3339_forms() {
        assert_eq!(
            rfc3339("2026-10-30T00:00:00.000Z").map(seconds),
            Some(1_793_318_400)
        );
        assert_eq!(rfc3339("2026-10-30 00:00:00Z").map(seconds), Some(1_793_318_400));
        assert_eq!(
            rfc3339("2026-10-30T02:00:00+02:00").map(seconds),
            Some(1_793_318_400)
        );
        assert_eq!(
            rfc3339("2026-10-29T22:30:00.5-01:30").map(seconds),
            Some(1_793_318_400)
        );
        for bad in [
            "",
            "2026-10-30",
            "2026-13-01T00:00:00Z",
            "2026-10-30T00:00Z",
            "2026-10-30T00:00:00",
            "é-é-éTéééé:éé",
        ] {
            assert_eq!(rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        // Against the plain rule of the calendar, day by day over four centuries.
        let mut expected = 0;
        for year in 1970..2400 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + u32::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    let time = system_time(year, month, day, 0, 0, 0).unwrap();
                    assert_eq!(seconds(time), expected, "{year}-{month}-{day}");
                    expected += 86_400;
                }
            }
        }
    }

    #[test]
    fn retry_after_table() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("0", Some(0)),
            (" 30 ", Some(30)),
            ("1000000000", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:48:37 GMT", Some(86_400)),
            ("Sun, 06 Nov 1494 08:48:37 GMT", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                expected.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }
}

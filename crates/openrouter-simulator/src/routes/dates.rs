//! Days and times of the calendar, as the service writes them.

use costing::UtcTime;
use model_catalogue::Day;

pub(crate) const DAY: i64 = 86_400;

/// Year, month and day of a number of days since 1970. Years are counted from March, so that a leap day ends one.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The number of the day, since 1970.
pub(crate) fn day_of(at: UtcTime) -> i64 {
    at.unix().div_euclid(DAY)
}

/// A day, such as `2026-08-22`.
pub(crate) fn date(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time, such as `2026-08-22T09:30:00.000Z`.
pub(crate) fn rfc3339(at: UtcTime) -> String {
    let second = at.unix().rem_euclid(DAY);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{}T{hour:02}:{minute:02}:{:02}.000Z",
        date(day_of(at)),
        second % 60
    )
}

/// Reads a time with seconds, in UTC: `2027-12-31T23:59:59Z`, with or without a fraction.
pub(crate) fn read_rfc3339(text: &str) -> Option<UtcTime> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let day = Day::parse(day)?.days_since_epoch();
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = |text: &str, most: i64| {
        let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| fits && *number <= most)
    };
    let mut parts = time.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let good =
        parts.next().is_none() && !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits(hour, 23)? * 3_600 + digits(minute, 59)? * 60 + digits(second, 59)?;
    good.then(|| UtcTime::from_unix(day * DAY + seconds))
}

/// The first day of the week (a Monday) that a day lies in.
pub(crate) fn week_start(day: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    day - (day + 3).rem_euclid(7)
}

/// The first day of the month that a day lies in.
pub(crate) fn month_start(day: i64) -> i64 {
    day - (civil(day).2 - 1)
}

/// The first day of the month after.
pub(crate) fn next_month(day: i64) -> i64 {
    // No month is longer than 31 days, and none shorter than 28.
    month_start(month_start(day) + 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts day by day.
    fn naive(days: i64) -> (i64, i64, i64) {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for _ in 0..days {
            day += 1;
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        (year, month, day)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for days in (0..60_000)
            .step_by(97)
            .chain([58, 59, 60, 11_015, 11_016, 11_017])
        {
            assert_eq!(civil(days), naive(days), "{days}");
        }
        assert_eq!(
            rfc3339(UtcTime::from_unix(1_787_391_000)),
            "2026-08-22T09:30:00.000Z"
        );
    }

    #[test]
    fn times_read_back() {
        for unix in [0, 951_782_399, 1_787_391_000] {
            let at = UtcTime::from_unix(unix);
            assert_eq!(read_rfc3339(&rfc3339(at)), Some(at));
        }
        assert_eq!(
            read_rfc3339("2027-12-31T23:59:59Z").map(UtcTime::unix),
            Some(1_830_297_599)
        );
        for bad in [
            "2027-12-31",
            "2027-12-31T23:59Z",
            "2027-12-31T24:00:00Z",
            "2027-02-30T00:00:00Z",
            "2027-12-31T23:59:59",
            "2027-12-31T23:59:59.Z",
            "2027-12-31T23:59:59:00Z",
            "2027-12-31T+3:59:59Z",
        ] {
            assert_eq!(read_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        // 2026-08-22 was a Saturday.
        let day = 20_687;
        assert_eq!(date(day), "2026-08-22");
        assert_eq!(date(week_start(day)), "2026-08-17");
        assert_eq!(week_start(week_start(day)), week_start(day));
        assert_eq!(
            (date(month_start(day)), date(next_month(day))),
            ("2026-08-01".to_owned(), "2026-09-01".to_owned())
        );
        for day in 20_000..21_000 {
            assert_eq!(civil(next_month(day)).2, 1);
            assert!((1..=31).contains(&(next_month(day) - day)));
        }
    }
}

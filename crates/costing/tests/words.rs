//! Words, times and amounts as people and stores meet them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use costing::{Bucket, CostStatus, Markup, MoneyError, Outcome, Pico, UtcTime, Weekday};
use rust_decimal::Decimal;

#[test]
fn words_are_read_as_they_are_written() {
    for status in CostStatus::ALL {
        assert_eq!(CostStatus::from_str(status.as_str()), Ok(status));
        assert_eq!(serde_json::to_value(status).unwrap(), status.to_string());
    }
    assert!(
        CostStatus::from_str("free")
            .unwrap_err()
            .to_string()
            .contains("free")
    );
    for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled] {
        assert_eq!(Outcome::from_str(&outcome.to_string()), Ok(outcome));
    }
    assert!(
        Outcome::from_str("maybe")
            .unwrap_err()
            .to_string()
            .contains("maybe")
    );
    for bucket in Bucket::ALL {
        assert_eq!(serde_json::to_value(bucket).unwrap(), bucket.as_str());
        assert_eq!(bucket.to_string(), bucket.as_str());
    }
}

#[test]
fn amounts_are_plain_decimal_numbers() {
    for (pico, text) in [
        (0, "0"),
        (1, "0.000000000001"),
        (-1, "-0.000000000001"),
        (5_564_900_000, "0.0055649"),
        (1_000_000_000_000, "1"),
        (i64::MAX, "9223372.036854775807"),
        (i64::MIN, "-9223372.036854775808"),
    ] {
        assert_eq!(Pico::new(pico).to_string(), text);
        assert_eq!(text.parse(), Ok(Pico::new(pico)));
    }
    assert_eq!("0.0000000000001".parse::<Pico>(), Err(MoneyError::TooFine));
    assert_eq!("9223373".parse::<Pico>(), Err(MoneyError::OutOfRange));
    assert_eq!(Pico::from_decimal(Decimal::MAX), Err(MoneyError::OutOfRange));
    for text in ["", "-", "--1", "1 ", "$1", "+1"] {
        assert_eq!(text.parse::<Pico>(), Err(MoneyError::NotANumber), "{text}");
    }
    assert_eq!("-0".parse(), Ok(Pico::ZERO));
    assert!(serde_json::from_str::<Pico>("0.5").is_err());
    assert!(serde_json::from_str::<Pico>("\"x\"").is_err());
}

#[test]
fn sums_that_do_not_fit_are_none() {
    let (one, most) = (Pico::new(1), Pico::new(i64::MAX));
    assert_eq!(one.checked_add(one), Some(Pico::new(2)));
    assert_eq!(one.checked_sub(one), Some(Pico::ZERO));
    assert_eq!(most.checked_add(one), None);
    assert_eq!(Pico::new(i64::MIN).checked_sub(one), None);
    assert_eq!(Markup::from_bps(u32::MAX).on(most), Err(MoneyError::OutOfRange));
    assert!(costing::Charge::known(most, Markup::DEFAULT, CostStatus::Exact).is_err());
}

#[test]
fn a_half_goes_to_the_even_neighbour() {
    let half = |text: &str| {
        Pico::from_decimal(Decimal::from_str_exact(text).unwrap())
            .unwrap()
            .get()
    };
    assert_eq!(half("0.0000000000005"), 0);
    assert_eq!(half("0.0000000000015"), 2);
    assert_eq!(half("0.0000000000025"), 2);
    assert_eq!(half("-0.0000000000015"), -2);
    let ten_percent = |pico| Markup::DEFAULT.on(Pico::new(pico)).unwrap().get();
    assert_eq!(
        [ten_percent(5), ten_percent(15), ten_percent(25), ten_percent(26)],
        [0, 2, 2, 3]
    );
    assert_eq!([ten_percent(-5), ten_percent(-15), ten_percent(-16)], [0, -2, -2]);
    assert_eq!(Markup::default().bps(), 1000);
    let charge = Markup::DEFAULT
        .charge_of(Decimal::from_str_exact("0.0055649").unwrap())
        .unwrap();
    assert_eq!(charge.normalize().to_string(), "0.00612139");
    assert_eq!(Markup::DEFAULT.charge_of(Decimal::MAX), None);
}

#[test]
fn times_are_of_greenwich() {
    // 2026-08-22 was a Saturday.
    let at = UtcTime::from_unix(1_787_356_800 + 9 * 3600 + 30 * 60 + 59);
    assert_eq!((at.hhmm(), at.weekday()), (930, Weekday::Saturday));
    assert_eq!(UtcTime::from(UNIX_EPOCH + Duration::from_millis(1999)).unix(), 1);
    let before = UtcTime::from(UNIX_EPOCH - Duration::from_millis(1));
    assert_eq!(
        (before.unix(), before.hhmm(), before.weekday()),
        (-1, 2359, Weekday::Wednesday)
    );
    assert_eq!(UtcTime::from(UNIX_EPOCH - Duration::from_secs(60)).unix(), -60);
    for (text, day) in [
        ("Mon", Weekday::Monday),
        ("SUNDAY", Weekday::Sunday),
        ("wednesday", Weekday::Wednesday),
    ] {
        assert_eq!(text.parse(), Ok(day));
    }
    assert_eq!(Weekday::Friday.to_string(), "friday");
    assert!("m".parse::<Weekday>().unwrap_err().to_string().contains('m'));
}

//! Single values of a scenario file, with their ranges.

use std::time::Duration;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::dice::Dice;
use crate::fault::{Fault, RetryForm};

pub(crate) fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&value) {
        Ok(Some(value))
    } else {
        Err(D::Error::custom(format_args!(
            "a probability is from 0 to 1, not {value}"
        )))
    }
}

pub(crate) fn fault<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fault>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Name(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Name(name) => name,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = i64::deserialize(deserializer)?;
    u64::try_from(value)
        .map(Some)
        .map_err(|_| D::Error::custom(format_args!("{value} is below 0")))
}

pub(crate) fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(whole(deserializer)?.map(Duration::from_millis))
}

pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let value = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(value)
        .map(Some)
        .map_err(|_| D::Error::custom(format_args!("{value} is no number of seconds from 0 up")))
}

/// A part of a whole, 0 to 1: a text with decimals, or 0 or 1.
pub(crate) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let value = super::account::Dollars::deserialize(deserializer)?.0;
    if (Decimal::ZERO..=Decimal::ONE).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format_args!(
            "a share is from 0 to 1, not {value}"
        )))
    }
}

/// When to come back: a number of seconds, or a text that a client may not expect.
pub(crate) fn retry_after<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RetryForm>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(i64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => seconds.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

/// Weights of faults: the higher, the more often.
pub(crate) fn mix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Fault, u32)>, D::Error> {
    let written = std::collections::BTreeMap::<String, i64>::deserialize(deserializer)?;
    written
        .into_iter()
        .map(|(name, weight)| {
            let fault = name.parse().map_err(D::Error::custom)?;
            let weight = u32::try_from(weight)
                .ok()
                .filter(|weight| (1..=1_000_000).contains(weight))
                .ok_or_else(|| {
                    D::Error::custom(format_args!("the weight of `{name}` is from 1 to 1000000"))
                })?;
            Ok((fault, weight))
        })
        .collect()
}

/// How a figure is spread: always the same, anywhere between two bounds, or around a middle with a long tail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Distribution {
    Fixed(f64),
    Uniform { min: f64, max: f64 },
    LogNormal { p50: f64, p95: f64 },
}

impl Distribution {
    pub(crate) fn draw(&self, dice: &mut Dice) -> f64 {
        match *self {
            Self::Fixed(value) => value,
            Self::Uniform { min, max } => min + (max - min) * dice.unit(),
            // The 95th percentile of a normal distribution lies 1.645 deviations above its middle.
            Self::LogNormal { p50, p95 } => p50 * dice.log_normal((p95 / p50).ln() / 1.644_853_626_951_472_2),
        }
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Fixed(f64),
            Spread(Spread),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Spread {
            min: Option<f64>,
            max: Option<f64>,
            p50: Option<f64>,
            p95: Option<f64>,
        }
        const WRONG: &str = "a distribution is a number above 0, { min, max } or { p50, p95 }, the second not below the first";
        let wrong = || D::Error::custom(WRONG);
        let good = |value: f64| value > 0.0 && value <= 1e9;
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Fixed(value) if good(value) => Ok(Self::Fixed(value)),
            Written::Spread(Spread {
                min: Some(min),
                max: Some(max),
                p50: None,
                p95: None,
            }) if good(min) && good(max) && min <= max => Ok(Self::Uniform { min, max }),
            Written::Spread(Spread {
                min: None,
                max: None,
                p50: Some(p50),
                p95: Some(p95),
            }) if good(p50) && good(p95) && p50 <= p95 => Ok(Self::LogNormal { p50, p95 }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_have_the_percentiles_they_name() {
        let draws = |distribution: Distribution| {
            let mut dice = Dice::new(3, "latency", &[]);
            let mut draws: Vec<f64> = (0..10_000).map(|_| distribution.draw(&mut dice)).collect();
            draws.sort_by(f64::total_cmp);
            draws
        };
        let normal = draws(Distribution::LogNormal {
            p50: 400.0,
            p95: 1_500.0,
        });
        assert!((370.0..430.0).contains(&normal[5_000]), "{}", normal[5_000]);
        assert!((1_350.0..1_650.0).contains(&normal[9_500]), "{}", normal[9_500]);
        let uniform = draws(Distribution::Uniform { min: 10.0, max: 20.0 });
        assert!(uniform[0] >= 10.0 && uniform[9_999] < 20.0 && (14.7..15.3).contains(&uniform[5_000]));
        assert_eq!(draws(Distribution::Fixed(7.0))[9_999], 7.0);
        assert_eq!(draws(Distribution::LogNormal { p50: 5.0, p95: 5.0 })[0], 5.0);
    }

    #[test]
    fn a_distribution_is_one_of_three() {
        #[derive(Debug, Deserialize)]
        struct One {
            x: Distribution,
        }
        let read = |text: &str| toml::from_str::<One>(&format!("x = {text}")).map(|one| one.x);
        assert_eq!(read("5").unwrap(), Distribution::Fixed(5.0));
        assert_eq!(
            read("{ min = 1, max = 2.5 }").unwrap(),
            Distribution::Uniform { min: 1.0, max: 2.5 }
        );
        assert_eq!(
            read("{ p50 = 1, p95 = 2 }").unwrap(),
            Distribution::LogNormal { p50: 1.0, p95: 2.0 }
        );
        for wrong in [
            "0",
            "-1",
            "{ min = 3, max = 2 }",
            "{ p50 = 1 }",
            "{ p50 = 1, max = 2 }",
            "{ p51 = 1 }",
            "'x'",
        ] {
            assert!(
                read(wrong).unwrap_err().to_string().contains("a distribution is"),
                "{wrong}"
            );
        }
    }
}

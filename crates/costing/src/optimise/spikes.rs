//! Hours in which a key spent far more than it uses to.
#![allow(clippy::float_arithmetic, reason = "a statistic, never an amount of record")]

use std::collections::BTreeMap;

use crate::report::Period;
use crate::rollup::{PicoSum, RollupRow};
use crate::time::UtcTime;

/// Makes the median absolute deviation of a normal distribution its standard deviation.
const NORMAL: f64 = 0.674_489_75;
/// A key that always spends the same has no deviation; ten percent more is then one.
const LEAST_DEVIATION: f64 = 0.095_310_18 * NORMAL;

/// When an hour is a spike.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SpikeRule {
    /// How many robust deviations above the median, on the logarithm.
    pub least_z: f64,
    /// Never below this charge, however unusual it is.
    pub floor: PicoSum,
    /// How many earlier hours with spend there must be to compare with.
    pub least_hours: usize,
    /// How many earlier hours are looked at.
    pub window_hours: i64,
}

/// 3.5 deviations, a dollar, 24 hours with spend out of the last four weeks.
impl Default for SpikeRule {
    fn default() -> Self {
        Self {
            least_z: 3.5,
            floor: PicoSum::new(1_000_000_000_000),
            least_hours: 24,
            window_hours: 28 * 24,
        }
    }
}

/// An hour that stands out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Spike {
    /// The caller's key.
    pub key: String,
    /// The start of the hour.
    pub hour: UtcTime,
    /// What was charged in it.
    pub charge: PicoSum,
    /// The median of the earlier hours with spend, in US dollars.
    pub usual: f64,
    /// Robust deviations above the median, on the logarithm.
    pub z: f64,
}

/// The hours of a period in which a key's charge stands out among its earlier hours with spend, by the median and the median
/// absolute deviation of the logarithm: `0.6745 (ln x − median) / MAD`. Rows before the period are what it is compared with; so
/// give those, too. In order of time, then by key.
pub fn spikes(rows: &[RollupRow], period: &Period, rule: &SpikeRule) -> Vec<Spike> {
    let mut by_key: BTreeMap<&str, BTreeMap<i64, PicoSum>> = BTreeMap::new();
    let used = rows
        .iter()
        .filter(|row| !row.key.simulated && row.key.tag.is_none());
    for row in used {
        let hour = UtcTime::from(row.key.hour).unix();
        *by_key
            .entry(&row.key.caller.key)
            .or_default()
            .entry(hour)
            .or_default() += row.sums.charge;
    }
    let mut found = Vec::new();
    for (key, hours) in by_key {
        for (&hour, &charge) in hours.range(period.from().unix()..period.to().unix()) {
            if charge < rule.floor || charge.get() <= 0 {
                continue;
            }
            let earliest = hour.saturating_sub(rule.window_hours.max(0).saturating_mul(3_600));
            let mut logs: Vec<f64> = hours
                .range(earliest..hour)
                .filter(|(_, sum)| sum.get() > 0)
                .map(|(_, sum)| super::forecast::usd(*sum).ln())
                .collect();
            if logs.len() < rule.least_hours.max(1) {
                continue;
            }
            let centre = median(&mut logs);
            let mut distances: Vec<f64> = logs.iter().map(|log| (log - centre).abs()).collect();
            let deviation = median(&mut distances).max(LEAST_DEVIATION);
            let z = NORMAL * (super::forecast::usd(charge).ln() - centre) / deviation;
            if z >= rule.least_z {
                let (key, hour) = (key.to_owned(), UtcTime::from_unix(hour));
                found.push(Spike {
                    key,
                    hour,
                    charge,
                    usual: centre.exp(),
                    z,
                });
            }
        }
    }
    found.sort_by(|a, b| (a.hour, &a.key).cmp(&(b.hour, &b.key)));
    found
}

/// The middle of numbers, of which there is at least one.
pub(super) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
    if numbers.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    }
}

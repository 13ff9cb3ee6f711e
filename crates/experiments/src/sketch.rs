//! Quantiles of any number of values in bounded memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fixed::quantiles::{Quantile, order_ranks};
use crate::statistics::{Interval, Level, StatisticsError};

/// How far an answer may be from the true value, relative to it.
const ACCURACY: f64 = 0.01;
/// Values nearer to zero than this are zero.
const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e15;
/// The bin of `LARGEST`: ln(10^24) / ln(1.01 / 0.99), rounded up.
const LAST_BIN: i32 = 2_764;

/// Counts of values in bins whose bounds grow by 2 % each, so that every quantile is within 1 % of the true one (DDSketch:
/// Masson, Rim and Lee 2019, PVLDB 12:2195).
///
/// The bins are fixed and at most about 5,500, never collapsed, so what two nodes counted adds up to exactly what one would have
/// counted; and an order statistic is asked for by its rank, which the interval of a quantile needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<i32, u64>", into = "BTreeMap<i32, u64>")]
pub struct QuantileSketch {
    /// By bin in the order of their values: below zero for negative values, 0 for zero.
    bins: BTreeMap<i32, u64>,
}

impl TryFrom<BTreeMap<i32, u64>> for QuantileSketch {
    type Error = &'static str;

    fn try_from(bins: BTreeMap<i32, u64>) -> Result<Self, Self::Error> {
        if bins.keys().any(|bin| !(-LAST_BIN..=LAST_BIN).contains(bin)) {
            return Err("a bin of a quantile sketch is outside of -2764..=2764");
        }
        Ok(Self { bins })
    }
}

impl From<QuantileSketch> for BTreeMap<i32, u64> {
    fn from(sketch: QuantileSketch) -> Self {
        sketch.bins
    }
}

fn growth() -> f64 {
    (1.0 + ACCURACY) / (1.0 - ACCURACY)
}

/// The value that stands for a bin: no value of the bin is further than 1 % from it.
fn value_of(bin: i32) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let growth = growth();
    let size = SMALLEST * growth.powi(bin.abs()) * 2.0 / (growth + 1.0);
    if bin < 0 { -size } else { size }
}

/// Between what a bin's values lie.
fn edges(bin: i32) -> Interval {
    if bin == 0 {
        return Interval::new(-SMALLEST, SMALLEST);
    }
    let outer = SMALLEST * growth().powi(bin.abs());
    let edges = Interval::new(outer / growth(), outer);
    if bin < 0 { edges.negated() } else { edges }
}

impl QuantileSketch {
    /// Whether a value can be counted.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`]; [`StatisticsError::OutOfRange`] beyond ±10¹⁵.
    pub fn check(value: f64) -> Result<(), StatisticsError> {
        if !value.is_finite() {
            Err(StatisticsError::NotFinite("a value"))
        } else if value.abs() > LARGEST {
            Err(StatisticsError::OutOfRange {
                what: "a value",
                value,
                range: "between -10^15 and 10^15",
            })
        } else {
            Ok(())
        }
    }

    /// Adds one unit's value.
    ///
    /// # Errors
    /// As [`check`](Self::check); nothing is added then.
    pub fn push(&mut self, value: f64) -> Result<(), StatisticsError> {
        Self::check(value)?;
        let size = value.abs();
        let bin = if size < SMALLEST {
            0
        } else {
            // At most LAST_BIN, so it fits; the smallest value itself goes into the first bin.
            let bin = ((size / SMALLEST).ln() / growth().ln()).ceil() as i32;
            bin.clamp(1, LAST_BIN)
        };
        let bin = if value < 0.0 { -bin } else { bin };
        *self.bins.entry(bin).or_default() += 1;
        Ok(())
    }

    /// Adds what another node counted.
    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.bins {
            let mine = self.bins.entry(*bin).or_default();
            *mine = mine.saturating_add(*count);
        }
    }

    /// Units.
    pub fn n(&self) -> u64 {
        self.bins.values().fold(0, |n, count| n.saturating_add(*count))
    }

    /// The value with this rank in ascending order, from 1; `None` beyond the last.
    pub fn order_statistic(&self, rank: u64) -> Option<f64> {
        self.bin_of_rank(rank).map(value_of)
    }

    fn bin_of_rank(&self, rank: u64) -> Option<i32> {
        let mut upto = 0u64;
        self.bins
            .iter()
            .find(|(_, count)| {
                upto = upto.saturating_add(**count);
                rank > 0 && upto >= rank
            })
            .map(|(bin, _)| *bin)
    }

    /// The smallest value that at least a share `q` of all are not above: the inverse of the empirical distribution.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without values; [`StatisticsError::OutOfRange`] unless `q` is above 0 and below 1.
    pub fn quantile(&self, q: f64) -> Result<f64, StatisticsError> {
        if !(q > 0.0 && q < 1.0) {
            return Err(StatisticsError::OutOfRange {
                what: "the quantile",
                value: q,
                range: "above 0 and below 1",
            });
        }
        let n = self.n();
        let rank = ((q * n as f64).ceil() as u64).clamp(1, n.max(1));
        self.order_statistic(rank).ok_or(StatisticsError::TooFew {
            what: "a quantile",
            n,
            needed: 1,
        })
    }

    /// The same with the interval of order statistics, as [`Sample::quantile`](crate::fixed::quantiles::Sample::quantile), from the
    /// lower edge of one bin to the upper edge of the other: what the bins do not tell apart is in it.
    ///
    /// # Errors
    /// As [`quantile`](Self::quantile), and [`StatisticsError::TooFew`] if there are too few values for a bound.
    pub fn bounded_quantile(&self, q: f64, level: Level) -> Result<Quantile, StatisticsError> {
        let estimate = self.quantile(q)?;
        let (low, high) = order_ranks(self.n(), q, level)?;
        let low = self.bin_of_rank(low).map_or(estimate, |bin| edges(bin).low);
        let high = self.bin_of_rank(high).map_or(estimate, |bin| edges(bin).high);
        Quantile::between(estimate, Interval::new(low, high), level)
    }
}

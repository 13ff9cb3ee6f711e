//! Two rates, exactly valid from the first unit on.
//!
//! Turner, Ly and Grünwald 2024 (Journal of Statistical Planning and Inference 230:106116) for the test; Turner and Grünwald
//! 2023 (Statistics and Probability Letters 198:109835) for other nulls and the confidence sequence. Units come in blocks of one or more per arm. Before each block the rates are learnt from the blocks before (Beta(γ, γ) prior, γ = 0.18);
//! the e-value grows by the likelihood of the learnt rates over that of the rates nearest to them (Kullback–Leibler, weighted by
//! the block's units) within the null. Any convex null will do: equal rates, or a difference of at most or at least δ.

use serde::{Deserialize, Serialize};

use super::{Side, check_log_e_max};
use crate::statistics::{Counts, Interval, Level, StatisticsError};

/// The prior that the authors found to need the fewest units.
const GAMMA: f64 = 0.18;

/// What is tested of the difference treatment − control. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateNull {
    /// The rates are equal.
    Equal,
    /// The difference is at most so much, from −1 to 1. Non-inferiority with more being better: −margin.
    AtMost(f64),
    /// The difference is at least so much, from −1 to 1. Non-inferiority with less being better: margin.
    AtLeast(f64),
}

impl RateNull {
    fn check(self) -> Result<Self, StatisticsError> {
        match self {
            Self::AtMost(delta) | Self::AtLeast(delta) if !(delta > -1.0 && delta < 1.0) => {
                Err(StatisticsError::OutOfRange {
                    what: "a difference of rates",
                    value: delta,
                    range: "between -1 and 1",
                })
            }
            _ => Ok(self),
        }
    }

    /// The rates within the null that are nearest to `learnt`; `None` if these lie in it.
    fn nearest(self, learnt: &[f64; 2], weights: &[f64; 2]) -> Option<[f64; 2]> {
        let difference = learnt[1] - learnt[0];
        let delta = match self {
            Self::Equal => {
                let pooled = (weights[0] * learnt[0] + weights[1] * learnt[1]) / (weights[0] + weights[1]);
                return Some([pooled; 2]);
            }
            Self::AtMost(delta) if difference <= delta => return None,
            Self::AtLeast(delta) if difference >= delta => return None,
            Self::AtMost(delta) | Self::AtLeast(delta) => delta,
        };
        // The divergence is convex along the edge of the null, and steep at both ends: halve where its slope changes sign.
        let slope = |control: f64| -> f64 {
            [control, control + delta]
                .iter()
                .zip(learnt)
                .zip(weights)
                .map(|((rate, learnt), weight)| weight * (rate - learnt) / (rate * (1.0 - rate)))
                .sum()
        };
        let (mut low, mut high) = (0f64.max(-delta), 1f64.min(1.0 - delta));
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if slope(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        let control = f64::midpoint(low, high);
        Some([control, control + delta])
    }
}

/// What was learnt, and the block that is not full yet.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Blocks {
    learnt: [Counts; 2],
    open: [Counts; 2],
}

impl Blocks {
    /// Adds a unit; a block that has both arms now.
    fn push(&mut self, side: Side, success: bool) -> Option<Block> {
        self.open[index(side)].push(success);
        if self.open.iter().any(|arm| arm.n() == 0) {
            return None;
        }
        let full = std::mem::take(&mut self.open);
        Some(self.close(full))
    }

    fn close(&mut self, outcomes: [Counts; 2]) -> Block {
        let rates = self
            .learnt
            .map(|arm| (arm.successes() as f64 + GAMMA) / (arm.n() as f64 + 2.0 * GAMMA));
        for (learnt, arm) in self.learnt.iter_mut().zip(&outcomes) {
            learnt.merge(arm);
        }
        Block { outcomes, rates }
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::Control => 0,
        Side::Treatment => 1,
    }
}

/// A block with the rates as they were learnt before it.
struct Block {
    outcomes: [Counts; 2],
    rates: [f64; 2],
}

impl Block {
    /// ln of the e-value of this block alone.
    fn log_e(&self, null: RateNull) -> f64 {
        let weights = self.outcomes.map(|arm| arm.n() as f64);
        let Some(nearest) = null.nearest(&self.rates, &weights) else {
            return 0.0;
        };
        let term = |count: u64, learnt: f64, nearest: f64| {
            if count == 0 {
                0.0
            } else {
                count as f64 * (learnt / nearest).ln()
            }
        };
        self.outcomes
            .iter()
            .zip(self.rates)
            .zip(nearest)
            .map(|((arm, learnt), nearest)| {
                term(arm.successes(), learnt, nearest) + term(arm.failures(), 1.0 - learnt, 1.0 - nearest)
            })
            .sum()
    }
}

/// A test of two rates that is exact at every look, from the first unit on, at any rates.
///
/// It pays for that with power: where there are ten successes and failures per arm, [`MixtureTest`](super::MixtureTest) needs
/// about half of the units.
///
/// Units go in as they were assigned. If failures are known later than successes (a time-out is), the order in which outcomes
/// come in says something of them: put them in by blocks that are complete.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredTest")]
pub struct RateTest {
    null: RateNull,
    blocks: Blocks,
    log_e: f64,
    log_e_max: f64,
}

impl RateTest {
    /// A test of `null`.
    ///
    /// # Errors
    /// If the difference it names is not between −1 and 1.
    pub fn new(null: RateNull) -> Result<Self, StatisticsError> {
        Ok(Self {
            null: null.check()?,
            blocks: Blocks::default(),
            log_e: 0.0,
            log_e_max: 0.0,
        })
    }

    /// Adds one unit. The e-value moves when a block is full, which is when both arms have a unit more.
    pub fn push(&mut self, side: Side, success: bool) {
        if let Some(block) = self.blocks.push(side, success) {
            self.take(&block);
        }
    }

    /// Adds a block: the units of both arms since the last one. How many there are must not depend on their outcomes. Large
    /// blocks learn late; a block without units in one arm teaches the rate of the other.
    pub fn push_block(&mut self, control: &Counts, treatment: &Counts) {
        if control.n() + treatment.n() > 0 {
            let block = self.blocks.close([*control, *treatment]);
            self.take(&block);
        }
    }

    fn take(&mut self, block: &Block) {
        self.log_e += block.log_e(self.null);
        self.log_e_max = self.log_e_max.max(self.log_e);
    }

    /// ln of the e-value now.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    /// The p-value of all looks so far.
    pub fn p_value(&self) -> f64 {
        (-self.log_e_max).exp()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTest {
    null: RateNull,
    blocks: Blocks,
    log_e: f64,
    log_e_max: f64,
}

impl TryFrom<StoredTest> for RateTest {
    type Error = StatisticsError;

    fn try_from(stored: StoredTest) -> Result<Self, StatisticsError> {
        check_log_e_max(stored.log_e_max)?;
        if !stored.log_e.is_finite() {
            return Err(StatisticsError::NotFinite("ln e"));
        }
        Ok(Self {
            null: stored.null.check()?,
            blocks: stored.blocks,
            log_e: stored.log_e,
            log_e_max: stored.log_e_max,
        })
    }
}

/// A confidence sequence for the difference of two rates, treatment − control, exact from the first unit on.
///
/// It holds one test per point of a grid of differences, and its bounds are points of the grid: the largest δ of which "at most
/// δ" was rejected, and the smallest of which "at least δ" was, each at α/2. A look costs a step of the tests between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredDifference")]
pub struct RateDifference {
    level: Level,
    blocks: Blocks,
    at_most: Vec<f64>,
    at_least: Vec<f64>,
    /// Of the points, the first that "at most" was not rejected for.
    low: usize,
    /// Of the points, the first that "at least" was rejected for.
    high: usize,
}

impl RateDifference {
    /// A sequence with bounds in steps of 1/`steps`: 100 gives bounds in percentage points.
    ///
    /// # Errors
    /// Unless there are 2 to 10,000 steps.
    pub fn new(level: Level, steps: u32) -> Result<Self, StatisticsError> {
        if !(2..=10_000).contains(&steps) {
            return Err(StatisticsError::OutOfRange {
                what: "the steps of a confidence sequence",
                value: f64::from(steps),
                range: "from 2 to 10000",
            });
        }
        // Points −1 + 1/steps to 1 − 1/steps.
        let points = 2 * steps as usize - 1;
        Ok(Self {
            level,
            blocks: Blocks::default(),
            at_most: vec![0.0; points],
            at_least: vec![0.0; points],
            low: 0,
            high: points,
        })
    }

    /// Adds one unit.
    pub fn push(&mut self, side: Side, success: bool) {
        if let Some(block) = self.blocks.push(side, success) {
            self.take(&block);
        }
    }

    /// Adds a block, as [`RateTest::push_block`].
    pub fn push_block(&mut self, control: &Counts, treatment: &Counts) {
        if control.n() + treatment.n() > 0 {
            let block = self.blocks.close([*control, *treatment]);
            self.take(&block);
        }
    }

    /// The bounds so far. They never widen.
    pub fn interval(&self) -> Interval {
        Interval::new(
            if self.low == 0 {
                -1.0
            } else {
                self.point(self.low - 1)
            },
            if self.high == self.at_least.len() {
                1.0
            } else {
                self.point(self.high)
            },
        )
    }

    fn point(&self, at: usize) -> f64 {
        let half = (self.at_most.len() / 2) as f64;
        (at as f64 - half) / (half + 1.0)
    }

    fn take(&mut self, block: &Block) {
        let rejects = (2.0 / self.level.alpha()).ln();
        // What is beyond a bound stays beyond it: a null within a rejected null is rejected with it.
        let (low, high) = (self.low, self.high);
        for at in low..self.at_most.len() {
            let delta = self.point(at);
            let sum = self.at_most[at] + block.log_e(RateNull::AtMost(delta));
            self.at_most[at] = sum;
            if sum >= rejects {
                self.low = at + 1;
            }
        }
        for at in (0..high).rev() {
            let delta = self.point(at);
            let sum = self.at_least[at] + block.log_e(RateNull::AtLeast(delta));
            self.at_least[at] = sum;
            if sum >= rejects {
                self.high = at;
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDifference {
    level: Level,
    blocks: Blocks,
    at_most: Vec<f64>,
    at_least: Vec<f64>,
    low: usize,
    high: usize,
}

impl TryFrom<StoredDifference> for RateDifference {
    type Error = StatisticsError;

    fn try_from(stored: StoredDifference) -> Result<Self, StatisticsError> {
        let points = stored.at_most.len();
        let whole = points % 2 == 1 && points >= 3 && stored.at_least.len() == points;
        if !whole || stored.low > points || stored.high > points {
            return Err(StatisticsError::NoSupport(
                "the stored confidence sequence has no grid".to_owned(),
            ));
        }
        if stored
            .at_most
            .iter()
            .chain(&stored.at_least)
            .any(|e| !e.is_finite())
        {
            return Err(StatisticsError::NotFinite("ln e"));
        }
        Ok(Self {
            level: stored.level,
            blocks: stored.blocks,
            at_most: stored.at_most,
            at_least: stored.at_least,
            low: stored.low,
            high: stored.high,
        })
    }
}

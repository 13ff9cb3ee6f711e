//! What arms have given so far.

use serde::{Deserialize, Serialize};

use super::{Posterior, known_arm, no_arms};
use crate::statistics::{Counts, Moments, StatisticsError};

/// An arm's rewards, on a scale from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnitArm {
    /// Rewards seen.
    pub n: u64,
    /// Their mean, from 0 to 1; 0.5 without any.
    pub mean: f64,
    /// Their variance, with a 0 and a 1 added to them and divided by n + 2. For successes that is p̃(1 − p̃) with
    /// p̃ = (s + 1)/(n + 2). It is never 0: of an arm that has only ever succeeded, the plain variance would say that its mean is
    /// known exactly.
    pub variance: f64,
}

impl UnitArm {
    fn of(rewards: &Moments, low: f64, high: f64) -> Self {
        let width = high - low;
        let mean = rewards
            .mean()
            .map_or(0.5, |mean| ((mean - low) / width).clamp(0.0, 1.0));
        Self {
            n: rewards.n(),
            mean,
            variance: smoothed(rewards, low, high) / (width * width),
        }
    }
}

/// The variance with one value more at each end, divided by their number.
fn smoothed(rewards: &Moments, low: f64, high: f64) -> f64 {
    let mut all: Moments = [low, high].into_iter().collect();
    all.merge(rewards);
    let n = all.n() as f64;
    // Two values are there already, so there is a variance.
    all.variance().unwrap_or(0.0) * (n - 1.0) / n
}

/// Arms whose reward is success or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Counts>", into = "Vec<Counts>")]
pub struct BinaryArms(Vec<Counts>);

impl BinaryArms {
    /// So many arms, none of them played.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without arms.
    pub fn new(arms: usize) -> Result<Self, StatisticsError> {
        Self::try_from(vec![Counts::default(); arms])
    }

    /// Writes down an outcome. Outcomes that come late may come in any order.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if there is no such arm.
    pub fn observe(&mut self, arm: usize, success: bool) -> Result<(), StatisticsError> {
        let arm = known_arm(arm, self.0.len())?;
        if let Some(counts) = self.0.get_mut(arm) {
            counts.push(success);
        }
        Ok(())
    }

    /// Adds what another node has seen of the same arms.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if the numbers of arms differ; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatisticsError> {
        same_arms(self.0.len(), other.0.len())?;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.merge(theirs);
        }
        Ok(())
    }

    /// What each arm has given.
    pub fn as_slice(&self) -> &[Counts] {
        &self.0
    }

    /// What is believed of each arm: Beta(1 + successes, 1 + failures).
    pub fn posteriors(&self) -> Vec<Posterior> {
        self.0.iter().map(Posterior::of_counts).collect()
    }

    /// The arms for [`super::ucb1`], [`super::kl_ucb`] and [`super::TrackAndStop`].
    pub fn unit_arms(&self) -> Vec<UnitArm> {
        let arm = |counts: &Counts| {
            let n = counts.n() as f64;
            let smooth = (counts.successes() as f64 + 1.0) / (n + 2.0);
            UnitArm {
                n: counts.n(),
                mean: counts.rate().unwrap_or(0.5),
                variance: smooth * (1.0 - smooth),
            }
        };
        self.0.iter().map(arm).collect()
    }
}

impl TryFrom<Vec<Counts>> for BinaryArms {
    type Error = StatisticsError;

    fn try_from(arms: Vec<Counts>) -> Result<Self, StatisticsError> {
        if arms.is_empty() {
            return Err(no_arms("a bandit"));
        }
        Ok(Self(arms))
    }
}

impl From<BinaryArms> for Vec<Counts> {
    fn from(arms: BinaryArms) -> Self {
        arms.0
    }
}

fn same_arms(mine: usize, theirs: usize) -> Result<(), StatisticsError> {
    if mine == theirs {
        Ok(())
    } else {
        Err(StatisticsError::NoSupport(format!(
            "{mine} arms cannot be merged with {theirs}"
        )))
    }
}

/// Arms whose reward is a number: a score, or an outcome in its own unit with its sign turned where less is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredRealArms")]
pub struct RealArms {
    low: f64,
    high: f64,
    bounded: bool,
    arms: Vec<Moments>,
}

#[derive(Deserialize)]
struct StoredRealArms {
    low: f64,
    high: f64,
    bounded: bool,
    arms: Vec<Moments>,
}

impl TryFrom<StoredRealArms> for RealArms {
    type Error = StatisticsError;

    fn try_from(stored: StoredRealArms) -> Result<Self, StatisticsError> {
        let empty = Self::new(stored.arms.len(), stored.low, stored.high, stored.bounded)?;
        for arm in &stored.arms {
            if let Some(mean) = arm.mean() {
                empty.check(mean)?;
            }
        }
        Ok(Self {
            arms: stored.arms,
            ..empty
        })
    }
}

impl RealArms {
    fn new(arms: usize, low: f64, high: f64, bounded: bool) -> Result<Self, StatisticsError> {
        if arms == 0 {
            return Err(no_arms("a bandit"));
        }
        let width = high - low;
        if !(low.is_finite() && high.is_finite() && width.is_finite()) {
            return Err(StatisticsError::NotFinite("the range of rewards"));
        }
        if width <= 0.0 {
            return Err(StatisticsError::OutOfRange {
                what: "the width of the range of rewards",
                value: width,
                range: "above 0",
            });
        }
        Ok(Self {
            low,
            high,
            bounded,
            arms: vec![Moments::new(); arms],
        })
    }

    /// So many arms with rewards from `low` to `high`, none of them played.
    ///
    /// # Errors
    /// [`StatisticsError`] without arms, or if `low` is not below `high`, or one of them is not finite.
    pub fn bounded(arms: usize, low: f64, high: f64) -> Result<Self, StatisticsError> {
        Self::new(arms, low, high, true)
    }

    /// So many arms with rewards without bounds, none of them played. Before the first one they are expected around `mean`, apart
    /// by `deviation`. Only for Thompson sampling: upper confidence bounds need a range.
    ///
    /// # Errors
    /// [`StatisticsError`] without arms, or if the deviation is not above 0, or a figure is not finite.
    pub fn unbounded(arms: usize, mean: f64, deviation: f64) -> Result<Self, StatisticsError> {
        Self::new(arms, mean - deviation, mean + deviation, false)
    }

    fn check(&self, reward: f64) -> Result<(), StatisticsError> {
        if !reward.is_finite() {
            return Err(StatisticsError::NotFinite("a reward"));
        }
        if self.bounded && !(self.low..=self.high).contains(&reward) {
            return Err(StatisticsError::OutOfRange {
                what: "a reward",
                value: reward,
                range: "in the range that the arms were made with",
            });
        }
        Ok(())
    }

    /// Writes down an outcome. Outcomes that come late may come in any order.
    ///
    /// # Errors
    /// [`StatisticsError`] if there is no such arm, or the reward is not finite or out of range; nothing is added then.
    pub fn observe(&mut self, arm: usize, reward: f64) -> Result<(), StatisticsError> {
        self.check(reward)?;
        let arm = known_arm(arm, self.arms.len())?;
        match self.arms.get_mut(arm) {
            Some(moments) => moments.push(reward),
            None => Ok(()),
        }
    }

    /// Adds what another node has seen of the same arms.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if the numbers of arms or their ranges differ; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatisticsError> {
        same_arms(self.arms.len(), other.arms.len())?;
        if (self.low, self.high, self.bounded) != (other.low, other.high, other.bounded) {
            return Err(StatisticsError::NoSupport(
                "arms of different ranges cannot be merged".to_owned(),
            ));
        }
        for (mine, theirs) in self.arms.iter_mut().zip(&other.arms) {
            mine.merge(theirs);
        }
        Ok(())
    }

    /// What each arm has given.
    pub fn as_slice(&self) -> &[Moments] {
        &self.arms
    }

    /// What is believed of each arm's mean: the normal distribution of precision 1/v₀ + n/v around (m₀/v₀ + n·m/v) divided by it,
    /// where m₀ is the middle of the range, √v₀ half of its width (mean and deviation, if the arms have no bounds), and v the
    /// smoothed variance of [`UnitArm::variance`].
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] if the rewards are too large to be squared.
    pub fn posteriors(&self) -> Result<Vec<Posterior>, StatisticsError> {
        let (middle, half) = (
            self.low + (self.high - self.low) / 2.0,
            (self.high - self.low) / 2.0,
        );
        let posterior = |arm: &Moments| {
            let (n, mean) = (arm.n() as f64, arm.mean().unwrap_or(middle));
            let own = half * half * n / smoothed(arm, self.low, self.high);
            // In units of the prior's precision, which is 1 then.
            Posterior::normal((middle + own * mean) / (1.0 + own), half / (1.0 + own).sqrt())
        };
        self.arms.iter().map(posterior).collect()
    }

    /// The arms for [`super::ucb1`], [`super::kl_ucb`] and [`super::TrackAndStop`], on a scale from 0 to 1.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if the rewards have no bounds.
    pub fn unit_arms(&self) -> Result<Vec<UnitArm>, StatisticsError> {
        if !self.bounded {
            return Err(StatisticsError::NoSupport(
                "an upper confidence bound needs rewards with bounds".to_owned(),
            ));
        }
        let arm = |arm: &Moments| UnitArm::of(arm, self.low, self.high);
        Ok(self.arms.iter().map(arm).collect())
    }
}

//! Finding the best arm, and knowing when it is found.

use super::ucb::{check, kl};
use super::{Choice, UnitArm, Weights, first_largest};
use crate::statistics::{Level, StatisticsError};

/// Means closer than this are the same: the best of them would take more plays than there are.
const TIE: f64 = 1e-6;

/// Halvings of a range; what is left of it is below the digits that matter.
const HALVINGS: usize = 50;

/// What rewards are taken for. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Model {
    /// Success or not.
    Bernoulli,
    /// Normal, with the smoothed variance of [`UnitArm::variance`]; for scores, and for coins as an approximation.
    Gaussian {
        /// How much worse than the best an arm may be to be called best, on the scale from 0 to 1. 0 asks for the very best, which
        /// takes for ever if two are equal.
        tolerance: f64,
    },
}

/// How often the arms should be played to find the best soonest.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// The shares of plays, w*.
    pub weights: Weights,
    /// T*: the plays it takes to be sure at error probability δ are about T*·ln(1/δ) for small δ.
    pub time: f64,
}

/// The best arm was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    /// Its number, from 0.
    pub best: usize,
    /// The evidence against the arm that is closest to it: the logarithm of a ratio of likelihoods.
    pub evidence: f64,
    /// What the evidence had to reach.
    pub threshold: f64,
}

/// Track-and-stop (Garivier & Kaufmann 2016, COLT, Theorem 5 and §3): plays arms in the shares that find the best one soonest, and
/// stops when the generalised likelihood ratio of the best against each other reaches ln((1 + ln t)(K−1)/δ), at t plays of K
/// arms. The arm it then names is wrong with probability δ at most; simulations keep that with room to spare, while the proof asks
/// for a somewhat higher threshold.
///
/// What it claims is which arm is best. The means it leaves behind are biased, see [the module](super).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackAndStop {
    level: Level,
    model: Model,
    min_pulls: u64,
}

impl TrackAndStop {
    /// With error probability δ = `level`. No arm is left below 50 plays: before that its variance is a guess. In simulations with two
    /// equal arms at δ = .05, 50 plays stopped in .036 to .045 of the runs, ten in .045 to .049.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless a tolerance is from 0 to below 1.
    pub fn new(level: Level, model: Model) -> Result<Self, StatisticsError> {
        if let Model::Gaussian { tolerance } = model
            && !(0.0..1.0).contains(&tolerance)
        {
            return Err(StatisticsError::OutOfRange {
                what: "the tolerance",
                value: tolerance,
                range: "from 0 to below 1",
            });
        }
        Ok(Self {
            level,
            model,
            min_pulls: 50,
        })
    }

    /// Never stops before each arm was played so many times.
    pub const fn with_min_pulls(self, min_pulls: u64) -> Self {
        Self { min_pulls, ..self }
    }

    /// The shares of plays for what is known now. Where the best arm is not alone at the top, all arms get the same.
    ///
    /// # Errors
    /// [`StatisticsError`] with fewer than two arms, or if a mean or variance is none.
    pub fn allocation(&self, arms: &[UnitArm]) -> Result<Allocation, StatisticsError> {
        at_least_two(arms)?;
        let arms: Vec<UnitArm> = arms.iter().map(|arm| self.smoothed(arm)).collect();
        let tolerance = self.tolerance();
        let Some((best, leader)) = leader(&arms) else {
            return uniform(arms.len());
        };
        let rivals: Vec<UnitArm> = but(&arms, best).copied().collect();
        if rivals.iter().any(|arm| leader.mean - arm.mean + tolerance < TIE) {
            return uniform(arms.len());
        }
        // y is the evidence per play of the leader, the same against every rival.
        let most = rivals
            .iter()
            .map(|arm| self.most_evidence(&leader, arm))
            .fold(f64::INFINITY, f64::min);
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let share = low + (high - low) / 2.0;
            let balance: f64 = rivals
                .iter()
                .map(|arm| self.balance(&leader, arm, self.plays(&leader, arm, most * share)))
                .sum();
            if balance < 1.0 {
                low = share;
            } else {
                high = share;
            }
        }
        let y = most * low;
        let plays: Vec<f64> = rivals.iter().map(|arm| self.plays(&leader, arm, y)).collect();
        let mut shares = plays.clone();
        shares.insert(best, 1.0);
        let all: f64 = shares.iter().sum();
        Ok(Allocation {
            weights: Weights::new(shares)?,
            time: all / y,
        })
    }

    /// Which arm to play next: one that was played less than √t − K/2 times, else the one that lags most behind its share
    /// (D-tracking). The propensity is 1.
    ///
    /// # Errors
    /// As [`TrackAndStop::allocation`].
    pub fn choose(&self, arms: &[UnitArm]) -> Result<Choice, StatisticsError> {
        at_least_two(arms)?;
        let t = plays(arms);
        let least = arms.iter().map(|arm| arm.n).min().unwrap_or(0);
        if least == 0 || (least as f64) < t.sqrt() - arms.len() as f64 / 2.0 {
            return first_largest(arms.iter().map(|arm| -(arm.n as f64)))
                .map(Choice::certain)
                .ok_or_else(|| super::no_arms("a choice"));
        }
        let allocation = self.allocation(arms)?;
        let behind = arms
            .iter()
            .zip(allocation.weights.as_slice())
            .map(|(arm, weight)| t * weight - arm.n as f64);
        first_largest(behind)
            .map(Choice::certain)
            .ok_or_else(|| super::no_arms("a choice"))
    }

    /// Whether the best arm is found; holds however the arms were chosen, if not by looking at rewards to come. Look as often as
    /// you like.
    ///
    /// # Errors
    /// As [`TrackAndStop::allocation`].
    pub fn stop(&self, arms: &[UnitArm]) -> Result<Option<Stop>, StatisticsError> {
        at_least_two(arms)?;
        if arms.iter().any(|arm| arm.n < self.min_pulls.max(1)) {
            return Ok(None);
        }
        let Some((best, leader)) = leader(arms) else {
            return Ok(None);
        };
        let evidence = but(arms, best)
            .map(|arm| self.evidence(&leader, arm))
            .fold(f64::INFINITY, f64::min);
        let rivals = (arms.len() - 1) as f64;
        let threshold = ((1.0 + plays(arms).ln()) * rivals / self.level.alpha()).ln();
        Ok((evidence >= threshold).then_some(Stop {
            best,
            evidence,
            threshold,
        }))
    }

    fn tolerance(&self) -> f64 {
        match self.model {
            Model::Bernoulli => 0.0,
            Model::Gaussian { tolerance } => tolerance,
        }
    }

    /// For shares of plays a coin is never certain: no number of plays would do then.
    fn smoothed(&self, arm: &UnitArm) -> UnitArm {
        let n = arm.n as f64;
        match self.model {
            Model::Bernoulli => UnitArm {
                mean: (arm.mean * n + 1.0) / (n + 2.0),
                ..*arm
            },
            Model::Gaussian { .. } => *arm,
        }
    }

    /// The logarithm of the likelihood ratio for the leader being better than the arm by more than −tolerance.
    fn evidence(&self, leader: &UnitArm, arm: &UnitArm) -> f64 {
        let (n, m) = (leader.n as f64, arm.n as f64);
        match self.model {
            Model::Bernoulli => {
                let common = (n * leader.mean + m * arm.mean) / (n + m);
                n * kl(leader.mean, common) + m * kl(arm.mean, common)
            }
            Model::Gaussian { tolerance } => {
                let ahead = leader.mean - arm.mean + tolerance;
                ahead * ahead / (2.0 * (leader.variance / n + arm.variance / m))
            }
        }
    }

    /// The evidence per play of the leader against an arm that is played without end.
    fn most_evidence(&self, leader: &UnitArm, arm: &UnitArm) -> f64 {
        match self.model {
            Model::Bernoulli => kl(leader.mean, arm.mean),
            Model::Gaussian { tolerance } => {
                (leader.mean - arm.mean + tolerance).powi(2) / (2.0 * leader.variance)
            }
        }
    }

    /// How many plays of the arm for each of the leader's make the evidence `y`.
    fn plays(&self, leader: &UnitArm, arm: &UnitArm, y: f64) -> f64 {
        match self.model {
            Model::Gaussian { tolerance } => {
                let ahead = leader.mean - arm.mean + tolerance;
                arm.variance / (ahead * ahead / (2.0 * y) - leader.variance)
            }
            Model::Bernoulli => {
                // On a scale from 0 to 1, the arm's part of the plays of both.
                let (mut low, mut high) = (0.0, 1.0);
                for _ in 0..HALVINGS {
                    let part = low + (high - low) / 2.0;
                    let common = leader.mean + part * (arm.mean - leader.mean);
                    let evidence = kl(leader.mean, common) + part / (1.0 - part) * kl(arm.mean, common);
                    if evidence < y {
                        low = part;
                    } else {
                        high = part;
                    }
                }
                low / (1.0 - low)
            }
        }
    }

    /// What one more play of the leader would add, over what one more of the arm would. All arms' together are 1 at the best shares.
    fn balance(&self, leader: &UnitArm, arm: &UnitArm, plays: f64) -> f64 {
        match self.model {
            Model::Gaussian { .. } => leader.variance * plays * plays / arm.variance,
            Model::Bernoulli => {
                let common = (leader.mean + plays * arm.mean) / (1.0 + plays);
                kl(leader.mean, common) / kl(arm.mean, common)
            }
        }
    }
}

fn at_least_two(arms: &[UnitArm]) -> Result<(), StatisticsError> {
    check(arms)?;
    if arms.len() < 2 {
        return Err(StatisticsError::TooFew {
            what: "the best of several arms",
            n: arms.len() as u64,
            needed: 2,
        });
    }
    Ok(())
}

fn plays(arms: &[UnitArm]) -> f64 {
    arms.iter().map(|arm| arm.n as f64).sum()
}

fn leader(arms: &[UnitArm]) -> Option<(usize, UnitArm)> {
    let best = first_largest(arms.iter().map(|arm| arm.mean))?;
    arms.get(best).map(|arm| (best, *arm))
}

fn but(arms: &[UnitArm], best: usize) -> impl Iterator<Item = &UnitArm> {
    let others = arms.iter().enumerate().filter(move |(at, _)| *at != best);
    others.map(|(_, arm)| arm)
}

fn uniform(arms: usize) -> Result<Allocation, StatisticsError> {
    Ok(Allocation {
        weights: Weights::uniform(arms)?,
        time: f64::INFINITY,
    })
}

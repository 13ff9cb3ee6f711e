//! Planned looks: error spending after Lan and DeMets.
//!
//! Lan and DeMets 1983 (Biometrika 70:659). The error probability is spent as information comes in, and each look's bound spends
//! what has become free. Bounds come from the density of the statistic among the experiments still running, carried from look to
//! look by numerical integration (Armitage, McPherson and Rowe 1969, Journal of the Royal Statistical Society A 132:235).

use serde::{Deserialize, Serialize};

use super::Estimate;
use crate::statistics::distributions::{normal_quantile, normal_sf};
use crate::statistics::quadrature::gauss_legendre;
use crate::statistics::{Alternative, Interval, Level, StatisticsError};

/// Nodes of the integration over one look.
const NODES: usize = 400;

/// Beyond so many standard deviations there is nothing left to integrate.
const FAR: f64 = 9.0;

/// The least share of the information between two looks: closer ones could not be integrated exactly.
pub const LEAST_STEP: f64 = 0.005;

/// How fast the error probability is spent. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spending {
    /// Late: `2 − 2Φ(z/√t)`. Early bounds are high, and the last is near the one of a test with one look.
    #[default]
    OBrienFleming,
    /// Evenly: `α ln(1 + (e − 1)t)`. Bounds are much alike.
    Pocock,
}

impl Spending {
    /// What may be spent of `alpha`, the error probability of one side, when the share `t` of the information is in.
    fn spent(self, alpha: f64, t: f64) -> Result<f64, StatisticsError> {
        Ok(match self {
            Self::OBrienFleming => 2.0 * normal_sf(-normal_quantile(alpha / 2.0)? / t.sqrt()),
            Self::Pocock => alpha * ((std::f64::consts::E - 1.0) * t).ln_1p(),
        })
    }
}

/// The bound of one look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The share of the information at this look.
    pub information: f64,
    /// The z that rejects: |z| at least this if both sides are tested, else z in the direction of the alternative. Infinite
    /// where there is too little to spend.
    pub z: f64,
    /// The error probability spent up to and with this look, of both sides if both are tested.
    pub spent: f64,
}

impl Bound {
    /// The repeated confidence interval at this look (Jennison and Turnbull 1989, Journal of the Royal Statistical Society B
    /// 51:305): right at all looks at once with probability 1 − α.
    pub fn interval(&self, estimate: &Estimate, alternative: Alternative) -> Interval {
        let half = self.z * estimate.standard_error();
        let (low, high) = (estimate.value() - half, estimate.value() + half);
        match alternative {
            Alternative::TwoSided => Interval::new(low, high),
            Alternative::Greater => Interval::new(low, f64::INFINITY),
            Alternative::Less => Interval::new(f64::NEG_INFINITY, high),
        }
    }
}

/// A plan of looks. It has the best power where it is known when the experiment ends, and it is right only if when to look does
/// not depend on what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupSequential {
    /// α, of both sides together if both are tested: each then spends half of it.
    pub level: Level,
    /// How fast it is spent.
    pub spending: Spending,
    /// Which sides are tested.
    pub alternative: Alternative,
}

impl GroupSequential {
    /// The bounds of looks at these shares of the planned information (units so far over units planned). Shares need not be
    /// planned: give those of the looks so far and of this one, and the last bound is this look's. An experiment that runs
    /// longer than planned has its last look at 1.
    ///
    /// # Errors
    /// Unless there is a look, and every share is above the one before by [`LEAST_STEP`] and at most 1.
    pub fn bounds(&self, information: &[f64]) -> Result<Vec<Bound>, StatisticsError> {
        if information.is_empty() {
            return Err(StatisticsError::TooFew {
                what: "a plan (looks)",
                n: 0,
                needed: 1,
            });
        }
        let mut before = 0.0;
        for t in information {
            if !(*t >= before + LEAST_STEP * (1.0 - 1e-9) && *t <= 1.0) {
                return Err(StatisticsError::OutOfRange {
                    what: "the information at a look",
                    value: *t,
                    range: "0.005 or more above the look before, and at most 1",
                });
            }
            before = *t;
        }
        let two_sided = self.alternative == Alternative::TwoSided;
        let sides = if two_sided { 2.0 } else { 1.0 };
        let rule = gauss_legendre(NODES);
        let mut running = Running::at_start();
        let mut spent = 0.0;
        let mut bounds = Vec::with_capacity(information.len());
        for t in information {
            let may_be_spent = sides * self.spending.spent(self.level.alpha() / sides, *t)?;
            let z = running.bound(*t, may_be_spent - spent, two_sided);
            running = running.go_on(*t, z, two_sided, &rule);
            spent = may_be_spent;
            bounds.push(Bound {
                information: *t,
                z,
                spent,
            });
        }
        Ok(bounds)
    }
}

/// The experiments still running: masses at values of z·√t, a Brownian motion under the null.
struct Running {
    t: f64,
    masses: Vec<(f64, f64)>,
}

impl Running {
    fn at_start() -> Self {
        Self {
            t: 0.0,
            masses: vec![(0.0, 1.0)],
        }
    }

    /// The z at `t` that is crossed with probability `spend`.
    fn bound(&self, t: f64, spend: f64, two_sided: bool) -> f64 {
        let deviation = (t - self.t).sqrt();
        let crossed = |z: f64| -> f64 {
            let bound = z * t.sqrt();
            self.masses
                .iter()
                .map(|(value, mass)| {
                    let up = normal_sf((bound - value) / deviation);
                    let down = if two_sided {
                        normal_sf((bound + value) / deviation)
                    } else {
                        0.0
                    };
                    mass * (up + down)
                })
                .sum()
        };
        let (mut low, mut high) = (if two_sided { 0.0 } else { -FAR }, 38.0);
        if spend <= crossed(high) {
            return f64::INFINITY;
        }
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if crossed(middle) > spend {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// Those that run on after a look at `t` with bound `z`.
    fn go_on(&self, t: f64, z: f64, two_sided: bool, rule: &[(f64, f64)]) -> Self {
        let high = z.min(FAR) * t.sqrt();
        let low = if two_sided { -high } else { -FAR * t.sqrt() };
        let (middle, half) = (f64::midpoint(low, high), (high - low) / 2.0);
        let variance = t - self.t;
        let scale = (2.0 * std::f64::consts::PI * variance).sqrt();
        let masses = rule
            .iter()
            .map(|(node, weight)| {
                let value = middle + half * node;
                let density: f64 = self
                    .masses
                    .iter()
                    .map(|(from, mass)| mass * (-(value - from).powi(2) / (2.0 * variance)).exp())
                    .sum();
                (value, half * weight * density / scale)
            })
            .collect();
        Self { t, masses }
    }
}

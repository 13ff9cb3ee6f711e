//! The estimators.

use std::collections::BTreeMap;

use super::{Gates, Overlap};
use crate::statistics::distributions::t_quantile;
use crate::statistics::{Interval, Level, StatisticsError};

/// What a model of outcomes says of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// Of the arm that was chosen.
    pub logged: f64,
    /// Of the target policy: the mean over the arms, each as probable as the target makes it.
    pub target: f64,
}

/// One outcome of a logged choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// What came of it, in its own unit.
    pub value: f64,
    /// What a model says that was not fitted to it, if there is one.
    pub predicted: Option<Predicted>,
}

/// A logged choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Whose it is, where several belong together; `None` where it stands alone.
    pub unit: Option<u64>,
    /// How probable the choice was when it was made: above 0, at most 1.
    pub propensity: f64,
    /// How probable the same choice is under the target policy, from 0 to 1.
    pub target: f64,
    /// How probable it is that the target, at this request, makes a choice of which the log's propensity was 0. 0 where the log could
    /// choose every arm.
    pub unreachable: f64,
    /// What came of it: the same outcomes, in the same order, of every choice. Quality, cost and latency are judged by the same
    /// weights.
    pub outcomes: Vec<Outcome>,
}

/// An estimated mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean, in the outcome's unit.
    pub value: f64,
    /// Its standard error.
    pub se: f64,
    /// Where it lies.
    pub interval: Interval,
}

/// One outcome under the target policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutcomeEstimates {
    /// The mean of what was logged, under the policy that was in force.
    pub logged: Estimate,
    /// By inverse propensity.
    pub inverse_propensity: Estimate,
    /// By inverse propensity, over the sum of weights.
    pub self_normalised: Estimate,
    /// Doubly robust, where there are predictions.
    pub doubly_robust: Option<Estimate>,
    /// The target's mean less the logged one: by the doubly robust estimator if there is one, else by the self-normalised. The
    /// requests are the same, so it is known better than its parts.
    pub change: Estimate,
}

/// What the log says of the target policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// How much of the log speaks of it.
    pub overlap: Overlap,
    /// Each outcome, in the order of [`Logged::outcomes`].
    pub outcomes: Vec<OutcomeEstimates>,
}

/// Estimates what the target policy would have given.
///
/// # Errors
/// [`StatisticsError::NoSupport`] if a gate refuses, saying why, or if rows do not have the same outcomes and predictions;
/// [`StatisticsError::TooFew`] below two units; others if a probability is none, or a number is not finite.
pub fn evaluate(rows: &[Logged], gates: &Gates, level: Level) -> Result<Evaluation, StatisticsError> {
    let weighted = Weighted::of(rows)?;
    let overlap = Overlap::of(&weighted)?;
    gates.check(&overlap)?;
    let reach = weighted.reach(level)?;
    let outcomes = all_ratios(&weighted, rows)?;
    let outcomes = outcomes.iter().map(|ratios| ratios.estimates(reach));
    Ok(Evaluation {
        overlap,
        outcomes: outcomes.collect::<Result<_, _>>()?,
    })
}

/// How much one target policy would have given more than another, outcome by outcome, from the same log: by the doubly robust estimator
/// where there are predictions, else by the self-normalised. The requests are the same, so it is known better than its parts.
///
/// Both are the same rows in the same order; only `target`, `unreachable` and [`Predicted::target`] may differ.
///
/// # Errors
/// As [`evaluate`], of either policy; [`StatisticsError::NoSupport`] also if the rows are not the same.
pub fn contrast(
    target: &[Logged],
    other: &[Logged],
    gates: &Gates,
    level: Level,
) -> Result<Vec<Estimate>, StatisticsError> {
    let is_same = |(one, two): (&Logged, &Logged)| {
        let values = |row: &Logged| {
            row.outcomes
                .iter()
                .map(|outcome| outcome.value)
                .collect::<Vec<_>>()
        };
        one.unit == two.unit && one.propensity == two.propensity && values(one) == values(two)
    };
    if target.len() != other.len() || !target.iter().zip(other).all(is_same) {
        return Err(StatisticsError::NoSupport(
            "the two policies are not held against the same log".to_owned(),
        ));
    }
    let (own, others) = (Weighted::of(target)?, Weighted::of(other)?);
    for weighted in [&own, &others] {
        gates.check(&Overlap::of(weighted)?)?;
    }
    let reach = own.reach(level)?;
    let (own, others) = (all_ratios(&own, target)?, all_ratios(&others, other)?);
    own.iter()
        .zip(&others)
        .map(|(own, others)| own.best().less(others.best()).estimate(reach))
        .collect()
}

/// What is estimated of one outcome.
struct Ratios {
    logged: Ratio,
    inverse_propensity: Ratio,
    self_normalised: Ratio,
    doubly_robust: Option<Ratio>,
}

impl Ratios {
    /// The one to be believed.
    fn best(&self) -> &Ratio {
        self.doubly_robust.as_ref().unwrap_or(&self.self_normalised)
    }

    fn estimates(&self, reach: f64) -> Result<OutcomeEstimates, StatisticsError> {
        Ok(OutcomeEstimates {
            logged: self.logged.estimate(reach)?,
            inverse_propensity: self.inverse_propensity.estimate(reach)?,
            self_normalised: self.self_normalised.estimate(reach)?,
            doubly_robust: self
                .doubly_robust
                .as_ref()
                .map(|ratio| ratio.estimate(reach))
                .transpose()?,
            change: self.best().less(&self.logged).estimate(reach)?,
        })
    }
}

/// The ratios of each outcome, in the rows' order of them.
fn all_ratios(weighted: &Weighted, rows: &[Logged]) -> Result<Vec<Ratios>, StatisticsError> {
    let columns = rows.first().map_or(0, |row| row.outcomes.len());
    if rows.iter().any(|row| row.outcomes.len() != columns) {
        return Err(StatisticsError::NoSupport(
            "some logged choices have more outcomes than others".to_owned(),
        ));
    }
    let outcomes = (0..columns).map(|column| {
        let outcomes: Vec<Outcome> = rows
            .iter()
            .filter_map(|row| row.outcomes.get(column).copied())
            .collect();
        ratios(weighted, &outcomes)
    });
    outcomes.collect()
}

fn ratios(weighted: &Weighted, outcomes: &[Outcome]) -> Result<Ratios, StatisticsError> {
    let predicted: Vec<Predicted> = outcomes.iter().filter_map(|outcome| outcome.predicted).collect();
    if !(predicted.is_empty() || predicted.len() == outcomes.len()) {
        return Err(StatisticsError::NoSupport(
            "an outcome is predicted for some logged choices and not for others".to_owned(),
        ));
    }
    let ones = || std::iter::repeat(1.0);
    let values = || outcomes.iter().map(|outcome| outcome.value);
    let product = || {
        values()
            .zip(&weighted.weights)
            .map(|(value, weight)| weight * value)
    };
    let logged = weighted.ratio(values(), ones());
    let inverse_propensity = weighted.ratio(product(), ones());
    let self_normalised = weighted.ratio(product(), weighted.weights.iter().copied());
    let doubly_robust = (!predicted.is_empty()).then(|| {
        let corrected = values()
            .zip(&weighted.weights)
            .zip(&predicted)
            .map(|((value, weight), model)| model.target + weight * (value - model.logged));
        weighted.ratio(corrected, ones())
    });
    Ok(Ratios {
        logged,
        inverse_propensity,
        self_normalised,
        doubly_robust,
    })
}

/// Rows with their weights, and which unit each belongs to.
pub(super) struct Weighted {
    pub(super) weights: Vec<f64>,
    /// The number of each row's unit, from 0.
    places: Vec<usize>,
    pub(super) units: usize,
}

fn probability(what: &'static str, value: f64) -> Result<f64, StatisticsError> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(StatisticsError::OutOfRange {
            what,
            value,
            range: "from 0 to 1",
        })
    }
}

impl Weighted {
    pub(super) fn of(rows: &[Logged]) -> Result<Self, StatisticsError> {
        let mut known: BTreeMap<u64, usize> = BTreeMap::new();
        let (mut weights, mut places, mut units) = (Vec::new(), Vec::new(), 0);
        let mut unreachable = 0.0;
        for row in rows {
            let propensity = probability("a propensity", row.propensity)?;
            if propensity == 0.0 {
                return Err(StatisticsError::OutOfRange {
                    what: "the propensity of a choice that was made",
                    value: propensity,
                    range: "above 0",
                });
            }
            let weight = probability("a target probability", row.target)? / propensity;
            if !weight.is_finite() {
                return Err(StatisticsError::NotFinite("a weight"));
            }
            unreachable += probability("an unreachable probability", row.unreachable)?;
            weights.push(weight);
            let place = match row.unit {
                Some(unit) => *known.entry(unit).or_insert(units),
                None => units,
            };
            units = units.max(place + 1);
            places.push(place);
        }
        if units < 2 {
            return Err(StatisticsError::TooFew {
                what: "an evaluation",
                n: units as u64,
                needed: 2,
            });
        }
        if unreachable > 0.0 {
            return Err(StatisticsError::NoSupport(format!(
                "{:.2} % of the target's choices are of arms that the log could not choose: their outcomes were never seen",
                100.0 * unreachable / rows.len() as f64
            )));
        }
        Ok(Self {
            weights,
            places,
            units,
        })
    }

    /// How many standard errors an interval reaches to each side.
    fn reach(&self, level: Level) -> Result<f64, StatisticsError> {
        t_quantile(1.0 - level.alpha() / 2.0, (self.units - 1) as f64)
    }

    /// Each row's unit and weight.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, f64)> {
        self.places.iter().copied().zip(self.weights.iter().copied())
    }

    /// The sum of one column over that of another, and how each unit moves it: (Σm − r·Σd) of the unit over Σd of all.
    pub(super) fn ratio(
        &self,
        numerator: impl Iterator<Item = f64>,
        denominator: impl Iterator<Item = f64>,
    ) -> Ratio {
        let mut sums = vec![(0.0, 0.0); self.units];
        for ((place, m), d) in self.places.iter().zip(numerator).zip(denominator) {
            if let Some((above, below)) = sums.get_mut(*place) {
                *above += m;
                *below += d;
            }
        }
        let below: f64 = sums.iter().map(|(_, d)| d).sum();
        let value = sums.iter().map(|(m, _)| m).sum::<f64>() / below;
        let moved = sums.iter().map(|(m, d)| (m - value * d) / below).collect();
        Ratio { value, moved }
    }
}

/// A ratio of sums over units.
pub(super) struct Ratio {
    pub(super) value: f64,
    moved: Vec<f64>,
}

impl Ratio {
    pub(super) fn se(&self) -> f64 {
        let units = self.moved.len() as f64;
        let squares: f64 = self.moved.iter().map(|moved| moved * moved).sum();
        (units / (units - 1.0) * squares).sqrt()
    }

    fn less(&self, other: &Self) -> Self {
        Self {
            value: self.value - other.value,
            moved: self.moved.iter().zip(&other.moved).map(|(a, b)| a - b).collect(),
        }
    }

    fn estimate(&self, reach: f64) -> Result<Estimate, StatisticsError> {
        let (value, se) = (self.value, self.se());
        if !(value.is_finite() && se.is_finite()) {
            return Err(StatisticsError::NotFinite("an outcome, or a sum of outcomes,"));
        }
        Ok(Estimate {
            value,
            se,
            interval: Interval::new(value - reach * se, value + reach * se),
        })
    }
}

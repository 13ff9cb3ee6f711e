//! One metric of two arms in the form that every method takes: two values, each with its squared standard error.

use crate::arm_data::{MetricData, MetricSums};
use crate::fixed::cuped::adjust;
use crate::fixed::means::{mean_and_variance, satterthwaite};
use crate::fixed::ratio::ClusterSums;
use crate::metrics::{Direction, Kind, Margin, MetricSpec};
use crate::sequential::{Estimate, LEAST_EVENTS, LEAST_UNITS};
use crate::statistics::{Counts, Level, Moments, StatisticsError};

/// A metric of one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) n: u64,
    pub(super) value: f64,
    /// The square of the value's standard error.
    pub(super) variance: f64,
}

/// A metric of the control and a treatment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) control: Figure,
    pub(super) treatment: Figure,
    /// For a proportion that was not adjusted by a covariate.
    pub(super) counts: Option<[Counts; 2]>,
    /// Whether Student's t is to be used: for means.
    means: bool,
    /// Why methods that count on the normal distribution cannot be believed yet, at a look whose time nobody planned.
    gate: Option<Gate>,
}

/// There is too little of something.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Gate {
    what: &'static str,
    n: u64,
    needed: u64,
}

/// How much better the treatment is than what it is held against, with the standard error. Above the limit, the claim is true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gain {
    pub(super) value: f64,
    pub(super) error: f64,
    pub(super) limit: f64,
    pub(super) df: f64,
    pub(super) n: u64,
}

impl Gain {
    /// For the methods of looking at any time.
    pub(super) fn estimate(&self) -> Result<Estimate, StatisticsError> {
        Estimate::new(self.value, self.error, self.n)
    }

    /// How many standard errors the gain is above the limit.
    pub(super) fn z(&self) -> f64 {
        (self.value - self.limit) / self.error
    }
}

fn of_moments(moments: &Moments) -> Result<Figure, StatisticsError> {
    let (value, variance) = mean_and_variance(moments)?;
    Ok(Figure {
        n: moments.n(),
        value,
        variance,
    })
}

fn of_counts(counts: &Counts) -> Result<Figure, StatisticsError> {
    let n = counts.n();
    match counts.rate() {
        Some(value) if n >= 2 => Ok(Figure {
            n,
            value,
            variance: value * (1.0 - value) / n as f64,
        }),
        _ => Err(StatisticsError::TooFew {
            what: "a proportion",
            n,
            needed: 2,
        }),
    }
}

fn few_events(arms: &[Counts; 2]) -> Option<Gate> {
    let parts = [
        ("a rate in every arm (successes)", arms.map(|arm| arm.successes())),
        ("a rate in every arm (failures)", arms.map(|arm| arm.failures())),
    ];
    parts.into_iter().find_map(|(what, [one, two])| {
        let n = one.min(two);
        (n < LEAST_EVENTS).then_some(Gate {
            what,
            n,
            needed: LEAST_EVENTS,
        })
    })
}

fn few_units(what: &'static str, arms: [u64; 2]) -> Option<Gate> {
    let n = arms[0].min(arms[1]);
    (n < LEAST_UNITS).then_some(Gate {
        what,
        n,
        needed: LEAST_UNITS,
    })
}

impl Figures {
    /// Of a metric's sums in two arms. `both`: the level of both sides, for the interval that a quantile's error is taken from.
    pub(super) fn of(
        control: &MetricData,
        treatment: &MetricData,
        both: Level,
    ) -> Result<Self, StatisticsError> {
        let counts = match (&control.sums, &treatment.sums) {
            (MetricSums::Proportion(one), MetricSums::Proportion(two)) => Some([*one, *two]),
            _ => None,
        };
        if let (Some(one), Some(two)) = (&control.with_covariate, &treatment.with_covariate) {
            let adjusted = adjust(one, two)?;
            return Ok(Self {
                control: of_moments(&adjusted.control)?,
                treatment: of_moments(&adjusted.treatment)?,
                gate: counts
                    .as_ref()
                    .and_then(few_events)
                    .or_else(|| few_units("a mean in every arm", [one.n(), two.n()])),
                counts: None,
                means: true,
            });
        }
        match (&control.sums, &treatment.sums) {
            (MetricSums::Proportion(one), MetricSums::Proportion(two)) => Ok(Self {
                control: of_counts(one)?,
                treatment: of_counts(two)?,
                gate: few_events(&[*one, *two]),
                counts,
                means: false,
            }),
            (MetricSums::Mean(one), MetricSums::Mean(two)) => Ok(Self {
                control: of_moments(one)?,
                treatment: of_moments(two)?,
                gate: few_units("a mean in every arm", [one.n(), two.n()]),
                counts: None,
                means: true,
            }),
            (MetricSums::Ratio(one), MetricSums::Ratio(two)) => {
                let [one, two] = [one, two].map(|sums| ClusterSums::of_moments(*sums).ratio());
                let (one, two) = (one?, two?);
                let figure = |ratio: &crate::fixed::ratio::Ratio| Figure {
                    n: ratio.units,
                    value: ratio.ratio,
                    variance: ratio.standard_error * ratio.standard_error,
                };
                if !(one.steady && two.steady) {
                    return Err(StatisticsError::NoSupport(
                        "what it is divided by is too near to zero to say anything of the ratio yet"
                            .to_owned(),
                    ));
                }
                Ok(Self {
                    control: figure(&one),
                    treatment: figure(&two),
                    gate: few_units("a ratio in every arm", [one.units, two.units]),
                    counts: None,
                    means: false,
                })
            }
            (MetricSums::Quantile(one), MetricSums::Quantile(two)) => {
                let Kind::Quantile { q, .. } = control.spec.kind else {
                    return Err(StatisticsError::NoSupport("the metric is no quantile".to_owned()));
                };
                let figure = |sketch: &crate::QuantileSketch| -> Result<Figure, StatisticsError> {
                    let found = sketch.bounded_quantile(q, both)?;
                    Ok(Figure {
                        n: sketch.n(),
                        value: found.estimate,
                        variance: found.standard_error * found.standard_error,
                    })
                };
                Ok(Self {
                    control: figure(one)?,
                    treatment: figure(two)?,
                    gate: few_units("a quantile in every arm", [one.n(), two.n()]),
                    counts: None,
                    means: false,
                })
            }
            _ => Err(StatisticsError::NoSupport(
                "the arms hold sums of different kinds".to_owned(),
            )),
        }
    }

    /// Refuses what cannot be believed yet at a look whose time nobody planned.
    pub(super) fn require_enough(&self) -> Result<(), StatisticsError> {
        match self.gate {
            Some(Gate { what, n, needed }) => Err(StatisticsError::TooFew { what, n, needed }),
            None => Ok(()),
        }
    }

    /// Treatment minus control.
    pub(super) fn difference(&self) -> f64 {
        self.treatment.value - self.control.value
    }

    /// The plain difference as a gain: above 0, the treatment is better.
    pub(super) fn plain_gain(&self, direction: Direction) -> Result<Gain, StatisticsError> {
        self.contrast(sign(direction), 1.0, 0.0)
    }

    /// The gain that the metric's claim is about. With a margin relative to the control's figure: the treatment minus what it may be
    /// at worst, so that nothing is divided.
    pub(super) fn claimed_gain(&self, spec: &MetricSpec) -> Result<Gain, StatisticsError> {
        let sign = sign(spec.direction);
        match spec.margin {
            None => self.contrast(sign, 1.0, 0.0),
            Some(Margin::Absolute(margin)) => self.contrast(sign, 1.0, -margin),
            Some(Margin::Relative(margin)) => {
                if self.control.value < 0.0 {
                    return Err(StatisticsError::NoSupport(
                        "the control's figure is below zero, so a margin relative to it points the wrong way"
                            .to_owned(),
                    ));
                }
                self.contrast(sign, 1.0 - sign * margin, 0.0)
            }
        }
    }

    /// sign · (treatment − kept · control).
    fn contrast(&self, sign: f64, kept: f64, limit: f64) -> Result<Gain, StatisticsError> {
        let (v1, v2) = (kept * kept * self.control.variance, self.treatment.variance);
        if v1 + v2 == 0.0 {
            return Err(StatisticsError::ZeroVariance("the difference"));
        }
        Ok(Gain {
            value: sign * (self.treatment.value - kept * self.control.value),
            error: (v1 + v2).sqrt(),
            limit,
            df: if self.means {
                satterthwaite(v1, self.control.n, v2, self.treatment.n)
            } else {
                f64::INFINITY
            },
            n: self.control.n + self.treatment.n,
        })
    }
}

/// 1 where more is better, −1 where less is.
pub(super) const fn sign(direction: Direction) -> f64 {
    match direction {
        Direction::HigherIsBetter => 1.0,
        Direction::LowerIsBetter => -1.0,
    }
}

/// The limit of the difference, treatment minus control, that a claim is about.
pub(super) fn limit_of_difference(spec: &MetricSpec, control: f64) -> f64 {
    let allowed = match spec.margin {
        None => 0.0,
        Some(Margin::Absolute(margin)) => margin,
        Some(Margin::Relative(margin)) => margin * control.abs(),
    };
    // Without turning 0 into −0.
    0.0 - sign(spec.direction) * allowed
}

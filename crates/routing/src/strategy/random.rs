//! Strategies that leave the choice to chance, and say how likely it was.

use super::{Contender, Dice, Strategy, Term, by_score};
use crate::RouteRequest;

/// A draw among all that qualify, in proportion to their [weights](crate::Facts::weight); without any, a fair one.
///
/// Those behind the first are drawn in the same way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weighted;

impl Strategy for Weighted {
    fn word(&self) -> String {
        "weighted".to_owned()
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], dice: &mut Dice) -> f64 {
        // Drawn in the order of places, so that what was left out before changes nothing.
        contenders.sort_unstable_by_key(|one| one.at);
        let total: f64 = contenders.iter().map(|one| one.weight).sum();
        // The least of exponential times with these rates is first in proportion to its rate (Efraimidis and Spirakis 2006).
        for one in contenders.iter_mut() {
            one.score = -dice.unit().ln() / one.weight;
        }
        contenders.sort_unstable_by(by_score);
        contenders.first().map_or(1.0, |first| first.weight / total)
    }

    fn terms(&self, _: &RouteRequest, contenders: &[Contender], one: &Contender) -> Vec<Term> {
        let total: f64 = contenders.iter().map(|one| one.weight).sum();
        vec![Term::new("probability", one.weight / total)]
    }
}

/// Thompson sampling: a quality is drawn for each from what is believed of it, and the highest draw less what the call costs is
/// chosen, so that what is uncertain is tried as often as it may be the best.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Thompson {
    /// How many points of quality a US dollar of expected cost is worth, at least 0.
    pub points_per_usd: f64,
}

impl Thompson {
    /// This price of a dollar in points; `None` unless it is finite and not negative.
    pub fn new(points_per_usd: f64) -> Option<Self> {
        (points_per_usd.is_finite() && points_per_usd >= 0.0).then_some(Self { points_per_usd })
    }

    fn mean(self, one: &Contender) -> f64 {
        one.quality.mean - self.points_per_usd * one.cost.get() as f64 * 1e-12
    }
}

/// A hundred points for a dollar: a point for a cent.
impl Default for Thompson {
    fn default() -> Self {
        Self {
            points_per_usd: 100.0,
        }
    }
}

impl Strategy for Thompson {
    fn word(&self) -> String {
        format!("thompson:points-per-usd={}", self.points_per_usd)
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], dice: &mut Dice) -> f64 {
        contenders.sort_unstable_by_key(|one| one.at);
        for one in contenders.iter_mut() {
            one.score = -(self.mean(one) + one.quality.sd * dice.normal());
        }
        contenders.sort_unstable_by(by_score);
        self.first_is_best(contenders)
    }
}

/// Steps of the integral over the first one's draws.
const STEPS: usize = 400;
/// What is less likely than this is left out of the integral.
const NEGLIGIBLE: f64 = 1e-12;
/// A normal draw is so many deviations above its mean less often than that: 6.2e-13.
const FAR: f64 = 7.1;

impl Thompson {
    /// The probability that the first contender's draw is the highest: the integral over its draws of the probability that all
    /// others stay below, by Simpson's rule over six deviations either way.
    ///
    /// Another contender is not looked at where it stays below all but certainly, and nobody is where others, who were looked at
    /// before, all but certainly do not. With n contenders that changes the probability by less than n times
    /// [`NEGLIGIBLE`], and makes most of the field cost next to nothing.
    fn first_is_best(self, contenders: &[Contender]) -> f64 {
        let Some((first, others)) = contenders.split_first() else {
            return 1.0;
        };
        let (mean, sd) = (self.mean(first), first.quality.sd);
        if sd <= 0.0 {
            return others
                .iter()
                .map(|one| below(mean, self.mean(one), one.quality.sd))
                .product();
        }
        let step = 12.0 / STEPS as f64;
        let z = |at: usize| -6.0 + step * at as f64;
        // How likely all others stay below each draw. It rises with the draw, whatever the others are.
        let mut all_below = [1.0; STEPS + 1];
        let mut from = 0;
        for one in others {
            let (its_mean, its_sd) = (self.mean(one), one.quality.sd);
            let certain = its_mean + FAR * its_sd;
            for (at, all_below) in all_below.iter_mut().enumerate().skip(from) {
                let draw = mean + sd * z(at);
                if draw > certain {
                    break;
                }
                *all_below *= below(draw, its_mean, its_sd);
            }
            while all_below.get(from).is_some_and(|all| *all < NEGLIGIBLE) {
                from += 1;
            }
        }
        let density = |z: f64| (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let weighted = |(at, all_below): (usize, &f64)| {
            let share = match at {
                0 | STEPS => 1.0,
                at if at % 2 == 1 => 4.0,
                _ => 2.0,
            };
            share * density(z(at)) * all_below
        };
        let sum: f64 = all_below.iter().enumerate().skip(from).map(weighted).sum();
        (sum * step / 3.0).clamp(0.0, 1.0)
    }
}

/// The probability that a normal draw is below a value.
fn below(value: f64, mean: f64, sd: f64) -> f64 {
    if sd > 0.0 {
        normal_cdf((value - mean) / sd)
    } else if value > mean {
        1.0
    } else {
        0.0
    }
}

/// The standard normal distribution function, within 7.5e-8 (Abramowitz and Stegun 26.2.17).
fn normal_cdf(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * poly;
    if z > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Belief, Reading};
    use costing::Pico;
    use proptest::prelude::*;
    use proptest::strategy::Strategy as _;

    /// The same integral with everybody at every draw.
    fn unpruned(strategy: Thompson, contenders: &[Contender]) -> f64 {
        let (first, others) = contenders.split_first().unwrap();
        let all_below = |draw: f64| -> f64 {
            let below = |one: &Contender| below(draw, strategy.mean(one), one.quality.sd);
            others.iter().map(below).product()
        };
        let (mean, sd) = (strategy.mean(first), first.quality.sd);
        if sd <= 0.0 {
            return all_below(mean);
        }
        let step = 12.0 / STEPS as f64;
        let sum: f64 = (0..=STEPS)
            .map(|at| {
                let z = -6.0 + step * at as f64;
                let share = match at {
                    0 | STEPS => 1.0,
                    at if at % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
                share * density * all_below(mean + sd * z)
            })
            .sum();
        (sum * step / 3.0).clamp(0.0, 1.0)
    }

    fn contender() -> impl proptest::strategy::Strategy<Value = Contender> {
        let sd = prop_oneof![1 => Just(0.0), 6 => 0.05..12.0f64, 1 => 0.001..200.0f64];
        (0.0..100.0f64, sd, 0_i64..200_000_000_000).prop_map(|(mean, sd, pico)| {
            let belief = Belief::new(mean, sd).unwrap();
            Contender::new(0, Pico::new(pico), belief, Reading::default())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn leaving_out_what_is_negligible_keeps_the_probability(
            field in prop::collection::vec(contender(), 1..150), first in any::<prop::sample::Index>(),
        ) {
            let mut field = field;
            // Any of them may be the one that was drawn highest, however unlikely; the others come in any order.
            let first = first.index(field.len());
            field.swap(0, first);
            let strategy = Thompson::default();
            let (fast, exact) = (strategy.first_is_best(&field), unpruned(strategy, &field));
            // The sum itself is rounded.
            let bound = NEGLIGIBLE * field.len() as f64 + 1e-13;
            prop_assert!((fast - exact).abs() <= bound, "{fast} and not {exact}");
        }
    }

    #[test]
    fn what_is_left_out_is_negligible() {
        assert!(1.0 - normal_cdf(FAR) < NEGLIGIBLE && normal_cdf(-FAR) < NEGLIGIBLE);
    }
}

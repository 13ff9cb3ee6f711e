//! How long a simulated model takes.

use std::time::Duration;

use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::scenario::rules::LatencyRule;

/// Whether answers take the time that a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Timing {
    /// Everything at once. For tests.
    #[default]
    Instant,
    /// A model answers after some hundred milliseconds and writes some dozen words a second; which, follows from the seed.
    Realistic,
}

impl std::str::FromStr for Timing {
    type Err = UnknownTiming;

    fn from_str(text: &str) -> Result<Self, UnknownTiming> {
        match text {
            "instant" => Ok(Self::Instant),
            "realistic" => Ok(Self::Realistic),
            _ => Err(UnknownTiming),
        }
    }
}

/// A timing that there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the timing is `instant` or `realistic`")]
pub struct UnknownTiming;

/// The waits of one answer.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Seconds to the first piece; 0 where nothing is waited for.
    first: f64,
    /// Mean seconds between two pieces.
    gap: f64,
    dice: Dice,
}

impl Pace {
    /// Nothing is waited for.
    pub(crate) fn instant(call: Dice) -> Self {
        Self {
            first: 0.0,
            gap: 0.0,
            dice: call,
        }
    }

    /// The speed belongs to the endpoint; how much one call strays from it to the call. What a scenario says of an endpoint
    /// is waited for whatever the timing.
    pub(crate) fn new(timing: Timing, endpoint: &Endpoint, rules: &[&LatencyRule], call: Dice) -> Self {
        let mut pace = Self::instant(call);
        if timing == Timing::Realistic {
            pace.first = endpoint.latency.p50 / 1_000.0 * pace.dice.log_normal(0.35);
            pace.first = pace.first.min(10.0);
            pace.gap = 1.0 / endpoint.throughput.p50.max(1.0);
        }
        if let Some(first) = rules.iter().find_map(|rule| rule.first_ms) {
            pace.first = first.draw(&mut pace.dice) / 1_000.0;
        }
        if let Some(speed) = rules.iter().find_map(|rule| rule.tokens_per_second) {
            pace.gap = 1.0 / speed.draw(&mut pace.dice).max(1e-3);
        }
        pace
    }

    /// The wait before the first piece.
    pub(crate) fn first(&self) -> Duration {
        Duration::from_secs_f64(self.first.clamp(0.0, 86_400.0))
    }

    /// The wait before the next piece: short mostly, now and then long.
    pub(crate) fn next(&mut self) -> Duration {
        if self.gap == 0.0 {
            return Duration::ZERO;
        }
        let stretch = -(1.0 - self.dice.unit()).ln();
        Duration::from_secs_f64((self.gap * stretch).clamp(0.0, 2.0))
    }

    /// The wait for an answer of that many pieces that comes all at once.
    pub(crate) fn whole(&mut self, pieces: usize) -> Duration {
        let gap = Duration::from_secs_f64(self.gap);
        self.first() + gap.saturating_mul(u32::try_from(pieces).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(timing: Timing, call: u64) -> Pace {
        paced(timing, call, "")
    }

    fn paced(timing: Timing, call: u64, scenario: &str) -> Pace {
        let record = model_catalogue::ModelRecord::new("a/b".parse().unwrap());
        let endpoint = crate::endpoint::endpoints(1, &record).remove(0);
        let scenario: crate::Scenario = scenario.parse().unwrap();
        let rules: Vec<&LatencyRule> = scenario.latencies.iter().collect();
        Pace::new(timing, &endpoint, &rules, Dice::new(call, "call", &[]))
    }

    #[test]
    fn a_scenario_sets_the_speed_whatever_the_timing() {
        let mut pace = paced(
            Timing::Instant,
            1,
            "[[latency]]\nfirst_ms = 2500\ntokens_per_second = 4\n",
        );
        assert_eq!(pace.first(), Duration::from_millis(2_500));
        assert_eq!(pace.whole(4), Duration::from_millis(3_500));
        assert!(pace.next() > Duration::ZERO);
        let drawn: std::collections::BTreeSet<Duration> = (0..50)
            .map(|call| {
                paced(
                    Timing::Instant,
                    call,
                    "[[latency]]\nfirst_ms = { p50 = 100, p95 = 900 }\n",
                )
                .first()
            })
            .collect();
        assert!(drawn.len() > 45);
    }

    #[test]
    fn instant_never_waits() {
        let mut pace = pace(Timing::Instant, 1);
        assert_eq!(
            (pace.first(), pace.next(), pace.whole(9)),
            (Duration::ZERO, Duration::ZERO, Duration::ZERO)
        );
    }

    #[test]
    fn realistic_waits_as_a_model_does_and_the_same_for_a_seed() {
        let mut sum = Duration::ZERO;
        for call in 0..200 {
            let (mut one, mut two) = (pace(Timing::Realistic, call), pace(Timing::Realistic, call));
            assert_eq!((one.first(), one.next()), (two.first(), two.next()));
            assert!(
                (50..4_000).contains(&one.first().as_millis()),
                "{:?}",
                one.first()
            );
            assert!(one.whole(100) > one.first());
            sum += one.next();
        }
        assert!((5..40).contains(&(sum / 200).as_millis()), "{sum:?}");
    }

    #[test]
    fn timings_are_read_by_name() {
        assert_eq!(
            ("instant".parse(), "realistic".parse()),
            (Ok(Timing::Instant), Ok(Timing::Realistic))
        );
        assert!(
            "slow"
                .parse::<Timing>()
                .unwrap_err()
                .to_string()
                .contains("instant")
        );
    }
}

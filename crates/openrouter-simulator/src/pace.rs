//! How long a simulated model takes.

use std::time::Duration;

use crate::dice::Dice;

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
#[derive(Debug)]
pub(crate) struct Pace {
    /// Seconds to the first piece; 0 for [`Timing::Instant`].
    first: f64,
    /// Mean seconds between two pieces.
    gap: f64,
    dice: Dice,
}

impl Pace {
    /// The speed belongs to the model and its upstream; how much one call strays from it to the call.
    pub(crate) fn new(timing: Timing, seed: u64, model: &str, upstream: &str, call: Dice) -> Self {
        let mut dice = call;
        if timing == Timing::Instant {
            return Self {
                first: 0.0,
                gap: 0.0,
                dice,
            };
        }
        let mut own = Dice::new(seed, "speed", &[model.as_bytes(), upstream.as_bytes()]);
        let first = 0.25 + 0.65 * own.unit();
        let pieces_per_second = 30.0 + 70.0 * own.unit();
        Self {
            first: first * dice.log_normal(0.35),
            gap: 1.0 / pieces_per_second,
            dice,
        }
    }

    /// The wait before the first piece.
    pub(crate) fn first(&self) -> Duration {
        Duration::from_secs_f64(self.first.clamp(0.0, 10.0))
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
        Pace::new(timing, 1, "a/b", "Somebody", Dice::new(call, "call", &[]))
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

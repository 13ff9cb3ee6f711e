//! How good a model is believed to be, on one scale, and how sure that is.

mod book;
mod evaluation;
mod feedback;
mod normal;
mod posterior;
#[cfg(test)]
mod properties;
mod store;

pub use book::QualityBook;
pub use evaluation::{Evaluation, EvaluationError, EvaluationProblem, read_evaluations};
pub use feedback::FeedbackSums;
pub use store::{Feedback, FeedbackError, FeedbackRow, FeedbackStore, ScoredAnswer};

/// What is believed of a model's quality for a task: a normal distribution on the task's scale, 0 to 100, higher is better. The
/// distribution does not end with the scale, and feedback can move the mean a little beyond it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Belief {
    /// The expected quality.
    pub mean: f64,
    /// The standard deviation: how far off the mean may be. At least 0.
    pub sd: f64,
}

impl Belief {
    /// A belief. `None` unless both are finite and the deviation is not negative.
    pub fn new(mean: f64, sd: f64) -> Option<Self> {
        (mean.is_finite() && sd.is_finite() && sd >= 0.0).then_some(Self { mean, sd })
    }

    /// The bounds between which the quality lies with this confidence, as much of what is left below as above: for 0.9 the 5th and
    /// the 95th percentile.
    ///
    /// `confidence` is from 0 to 1 and is taken for the nearer of these outside of them. At 0 both bounds are the mean, at 1 they are
    /// infinite; what is no number counts as 1, because it must not make anybody surer. A deviation of 0 leaves nothing open: both
    /// bounds are the mean at any confidence.
    pub fn interval(self, confidence: f64) -> (f64, f64) {
        // Half of what is left, so that it is exact where the confidence is near 1.
        let reach = self.reach((1.0 - probability(confidence)) / 2.0);
        (self.mean - reach, self.mean + reach)
    }

    /// What the quality is at least with this confidence: for 0.95 the 5th percentile.
    ///
    /// `confidence` is from 0.5, which gives the mean, to 1, which gives negative infinity, and is taken for the nearer of these
    /// outside of them; what is no number counts as 1.
    pub fn lower(self, confidence: f64) -> f64 {
        self.mean - self.reach(1.0 - probability(confidence).max(0.5))
    }

    /// How far above the mean that lies which is exceeded with this probability, at most a half.
    fn reach(self, tail: f64) -> f64 {
        // Nothing times infinity is no number.
        if self.sd == 0.0 {
            0.0
        } else {
            -self.sd * normal::quantile(tail)
        }
    }

    /// This belief and a measurement of the same quality that may be off by `sd`, above 0: each weighs as much as it is precise.
    pub(crate) fn measured(self, mean: f64, sd: f64) -> Self {
        let (own, other) = (self.sd * self.sd, sd * sd);
        // A belief without a doubt is not moved, and the weights below are both finite whatever it is.
        let share = own / (own + other);
        Self {
            mean: self.mean + share * (mean - self.mean),
            sd: (share * other).sqrt(),
        }
    }
}

fn probability(confidence: f64) -> f64 {
    if confidence.is_nan() {
        1.0
    } else {
        confidence.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_normal_distribution() {
        let belief = Belief::new(50.0, 2.0).unwrap();
        let (low, high) = belief.interval(0.95);
        assert!((low - (50.0 - 2.0 * 1.959_963_984_540_054)).abs() < 1e-9);
        assert!((high - (50.0 + 2.0 * 1.959_963_984_540_054)).abs() < 1e-9);
        assert!((belief.lower(0.95) - (50.0 - 2.0 * 1.644_853_626_951_472)).abs() < 1e-9);
        assert_eq!(belief.interval(0.0), (50.0, 50.0));
        assert_eq!(belief.interval(1.0), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(belief.interval(f64::NAN), belief.interval(1.0));
        for unsure in [0.5, 0.1, 0.0, -3.0] {
            assert_eq!(belief.lower(unsure), 50.0);
        }
        assert_eq!(belief.lower(f64::NAN), f64::NEG_INFINITY);
        let certain = Belief::new(50.0, 0.0).unwrap();
        assert_eq!((certain.interval(1.0), certain.lower(1.0)), ((50.0, 50.0), 50.0));
    }

    #[test]
    fn a_belief_is_of_numbers() {
        for (mean, sd) in [
            (f64::NAN, 1.0),
            (1.0, f64::NAN),
            (1.0, -0.1),
            (f64::INFINITY, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert_eq!(Belief::new(mean, sd), None);
        }
    }
}

//! How good a model is believed to be, on one scale, and how sure that is.

mod book;

pub use book::QualityBook;

/// What is believed of a model's quality for a task: a normal distribution on the task's scale, 0 to 100, higher is better.
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
}

//! What all methods stand on: sums that can be merged, the usual distributions, intervals, and why there is no answer.

pub mod distributions;
mod error;
mod interval;
mod moments;
pub mod quadrature;

pub use error::StatisticsError;
pub use interval::{Alternative, Interval, Level};
pub use moments::{Bivariate, Counts, Moments};

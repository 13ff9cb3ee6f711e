//! What all methods stand on: sums that can be merged, the usual distributions, intervals, and why there is no answer.

mod cholesky;
pub mod distributions;
mod error;
mod interval;
mod moments;
pub mod quadrature;

pub use cholesky::Cholesky;
pub use error::StatisticsError;
pub use interval::{Alternative, Interval, Level};
pub use moments::{Bivariate, Counts, Moments};

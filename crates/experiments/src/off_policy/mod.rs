//! What another policy would have given, from what was logged under this one.
//!
//! Each logged outcome is weighted by w = π/p: how probable the logged choice is under the target policy (π), over how probable it was
//! when it was made (p, the propensity). With m units, rewards r and a model q̂ of rewards:
//!
//! | estimator | formula | |
//! |---|---|---|
//! | inverse propensity (Horvitz & Thompson 1952, JASA 47:663) | mean of w·r | unbiased, wavers most |
//! | self-normalised (Hájek 1971; Swaminathan & Joachims 2015, NIPS) | Σw·r / Σw | a little biased, wavers less; does not care where 0 is |
//! | doubly robust (Dudík, Langford & Li 2011, ICML) | mean of q̂(x, π) + w·(r − q̂(x, a)) | unbiased, steady if q̂ is good; the default where there is a q̂ |
//!
//! The average over those requests alone on which both policies agree, which dashboards like to show, is none of these: it is an
//! average over another population, and wrong by several points.
//!
//! # What must be true
//!
//! - The propensities are those that were used when the choices were made, written down then. Computed afterwards from the share
//!   of each arm, or from a state that has learned since, they are wrong, and nothing here can tell.
//! - The log could choose whatever the target chooses. [`Gates`] refuse an answer where it did not, or hardly ever.
//! - q̂ was not fitted to the very outcomes it is used with: fit it on one half and evaluate the other, and the other way round.
//! - A bandit's own log will do, because its propensities say what it did. The plain mean of one of its arms will not: arms that
//!   began badly were dropped before they could recover, so their means are too low.
//! - Requests of one user or conversation belong together: give them the same unit, or the intervals are too short.
//!
//! Errors of the estimates are those of a ratio over units (Deng, Knoblich & Lu 2018, KDD, §3), intervals by Student's t.

mod bernstein;
mod evaluate;
mod gates;

pub use bernstein::bounded_interval;
pub use evaluate::{Estimate, Evaluation, Logged, Outcome, OutcomeEstimates, Predicted, contrast, evaluate};
pub use gates::{Gates, Overlap};

//! Bandits: choosing an arm again and again, more often where it pays.
//!
//! | method | choice | use it for |
//! |---|---|---|
//! | [`thompson`] | random, by the probability that an arm is best | earning while learning; the default |
//! | [`top_two`] | random, half of it to the runners-up | finding the best arm with few plays |
//! | [`kl_ucb`], [`ucb1`] | the same arm for the same record | a choice that must not be random |
//! | [`TrackAndStop`] | the same arm for the same record, and says when to stop | "which is best", with an error probability |
//! | [`Pacer`] | takes a price off every arm | an average cost that must hold |
//!
//! The state is what arms have given: [`BinaryArms`] or [`RealArms`], which can be stored and merged. Everything else is a
//! function of it. Random choices come from [`Weights`], and the propensity told with a choice is the weight that it was drawn
//! with: write it down with the outcome, or the data is worth nothing to [`crate::off_policy`].
//!
//! # When not to use it
//!
//! The means of arms that a bandit chose are biased: an arm that began badly is dropped before it can recover, so losers look
//! worse than they are, and an interval of a fixed-size test does not hold. Report what [`TrackAndStop`] claims, or run
//! an experiment with fixed weights. With a few thousand requests and an answer that tells of all arms at once, a comparison
//! beforehand finds the better arm sooner than any bandit.

mod arms;
mod dice;
mod pacing;
mod posterior;
mod quadrature;
mod thompson;
mod track_and_stop;
mod ucb;
mod weights;

pub use arms::{BinaryArms, RealArms, UnitArm};
pub use dice::Dice;
pub use pacing::Pacer;
pub use posterior::Posterior;
pub use thompson::{thompson, top_two};
pub use track_and_stop::{Allocation, Model, Stop, TrackAndStop};
pub use ucb::{kl_ucb, ucb1};
pub use weights::{Choice, Weights};

use crate::statistics::StatisticsError;

/// There is nothing to choose from.
fn no_arms(what: &'static str) -> StatisticsError {
    StatisticsError::TooFew {
        what,
        n: 0,
        needed: 1,
    }
}

/// `index`, if there is such an arm.
fn known_arm(index: usize, arms: usize) -> Result<usize, StatisticsError> {
    if index < arms {
        Ok(index)
    } else {
        Err(StatisticsError::NoSupport(format!(
            "there is no arm {index}: the arms are numbered from 0, and there are {arms}"
        )))
    }
}

/// The place of the largest value, the first of equals; `None` of nothing.
fn first_largest(values: impl IntoIterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, value) in values.into_iter().enumerate() {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}

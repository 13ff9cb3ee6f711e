//! Which of two answers was better: ratings from pairs, and a test of one pair of models.
//!
//! | method | for |
//! |---|---|
//! | [`bradley_terry`] | ratings of several models from all contests at once, with intervals; the default |
//! | [`Elo`] | a rating that follows contests as they come; it depends on their order and has no interval |
//! | [`sign_test`] | two models: is one preferred more often than chance would have it |
//!
//! # When not to use it
//!
//! All of them take contests for independent. Ten verdicts on answers to the same question are not ten contests: give the
//! majority of them as one. A judge that likes the first answer, or the longer one, gives ratings of places and lengths: draw the
//! order by lot for every contest.

mod bradley_terry;
mod contests;
mod elo;
mod sign;

pub use bradley_terry::{Rating, Ratings, bradley_terry};
pub use contests::Contests;
pub use elo::Elo;
pub use sign::{SignTest, sign_test};

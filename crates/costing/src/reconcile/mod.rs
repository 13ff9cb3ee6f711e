//! Reconciliation: asking the provider again what a call cost, and comparing a day's books with the provider's.
//!
//! Nothing here asks anybody. [`wanted`] says which attempts are worth asking for, a [`Job`] is the plain record of one that is
//! asked for, which a [`ReconcileStore`] keeps, [`due`] says which to ask next, [`Job::answered`] what an answer means; [`compare`] takes two books of a day apart
//! until every difference has a name.

mod activity;
mod job;
mod store;
mod variance;
mod wanted;

pub use activity::{Cell, Comparison, Finding, OurLine, ResidualClass, TheirLine, compare};
pub use job::{Answer, Correction, GaveUp, GaveUpReason, Job, Schedule, Verdict, due};
pub use store::{JobEnd, ReconcileStore, Reconciled};
pub use variance::{Variance, VarianceRule};
pub use wanted::{Asked, Attempt, SampleRate, UnknownAsked, wanted};

//! How what qualifies is put in order.

mod dice;
mod fixed;
mod lively;
mod random;
mod words;

use std::fmt::Debug;

use costing::Pico;

pub use dice::Dice;
pub use fixed::{BestQuality, Cascade, Cheapest, RoundRobin, Sticky, WeightedUtility, pareto_front};
pub(crate) use lively::expected_ms;
pub use lively::{Headroom, LeastBusy, LowestLatency, Throughput};
pub use random::{Thompson, Weighted};
pub use words::{STRATEGIES, UnknownStrategy, strategy};

use crate::{Belief, Reading, RouteRequest};

/// A deployment that qualifies, with what strategies look at.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Contender {
    /// Its place in the snapshot's deployments, which is its place by id.
    pub at: usize,
    /// What the call is expected to cost, without markup.
    pub cost: Pico,
    /// What is believed of its quality.
    pub quality: Belief,
    /// How it is doing.
    pub reading: Reading,
    /// Whether its cache holds a part of the prompt. The cost counts it.
    pub is_warm: bool,
    /// Its share in random draws, against those of the others; above 0.
    pub weight: f64,
    /// What the strategy made of it; lower is better. 0 until the strategy says.
    pub score: f64,
}

impl Contender {
    /// A contender that no strategy has scored yet.
    pub const fn new(at: usize, cost: Pico, quality: Belief, reading: Reading) -> Self {
        Self {
            at,
            cost,
            quality,
            reading,
            is_warm: false,
            weight: 1.0,
            score: 0.0,
        }
    }
}

/// A part of a score, for explanations.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Term {
    /// What it is.
    pub name: &'static str,
    /// How much of it.
    pub value: f64,
}

impl Term {
    /// A part of a score.
    pub const fn new(name: &'static str, value: f64) -> Self {
        Self { name, value }
    }
}

/// Puts deployments that qualify in order.
///
/// A strategy is pure: the same contenders, request and dice give the same order. It must not add or remove contenders, and must
/// not allocate, since it runs for every request.
pub trait Strategy: Debug + Send + Sync {
    /// Its name and its parameters as one word, such as `weighted-utility:cost=1,latency=0.5`. Two strategies with the same word do
    /// the same.
    fn word(&self) -> String;

    /// Whether it orders by expected cost, then the higher quality, then the place. What is dearer than enough others is then not
    /// even looked at.
    fn is_by_cost_alone(&self) -> bool {
        false
    }

    /// Puts the contenders in order, best first, and says with which probability the first one was chosen: 1 where nothing is left
    /// to chance. There is at least one.
    fn arrange(&self, request: &RouteRequest, contenders: &mut [Contender], dice: &mut Dice) -> f64;

    /// The parts of a contender's score, once arranged.
    fn terms(&self, request: &RouteRequest, contenders: &[Contender], one: &Contender) -> Vec<Term> {
        let _ = (request, contenders);
        vec![Term::new("score", one.score)]
    }
}

/// By score, then the lower cost, then the higher quality, then the place: total, so that no order depends on how it began.
pub(crate) fn by_score(a: &Contender, b: &Contender) -> std::cmp::Ordering {
    a.score.total_cmp(&b.score).then_with(|| by_cost(a, b))
}

/// By cost, then the higher quality, then the place.
pub(crate) fn by_cost(a: &Contender, b: &Contender) -> std::cmp::Ordering {
    let by_quality = || b.quality.mean.total_cmp(&a.quality.mean);
    a.cost.cmp(&b.cost).then_with(by_quality).then(a.at.cmp(&b.at))
}

/// Scores every contender and sorts.
fn sort_by(contenders: &mut [Contender], mut score: impl FnMut(&Contender) -> f64) -> f64 {
    for contender in contenders.iter_mut() {
        contender.score = score(contender);
    }
    contenders.sort_unstable_by(by_score);
    1.0
}

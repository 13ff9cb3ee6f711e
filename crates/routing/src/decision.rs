//! The choice alone, without reasons and without allocation.

use costing::Pico;

use crate::rules::{Rules, Verdict};
use crate::{RouteRequest, Snapshot, Strategy, Target};

/// A model that qualifies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Survivor {
    pub(crate) cost: Pico,
    pub(crate) quality: f64,
    /// Its place in the snapshot, which is its place by id.
    pub(crate) at: usize,
}

/// Sorts what qualifies. Total, so that the same survivors are always in the same order.
pub(crate) fn order(survivors: &mut [Survivor], strategy: Strategy) {
    match strategy {
        Strategy::Cheapest => survivors.sort_unstable_by(|a, b| {
            let by_quality = || b.quality.total_cmp(&a.quality);
            a.cost.cmp(&b.cost).then_with(by_quality).then(a.at.cmp(&b.at))
        }),
    }
}

/// Room for decisions. Keep it and use it again: once it has grown to the number of models, deciding allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    survivors: Vec<Survivor>,
}

impl Scratch {
    /// Room that has not grown yet.
    pub const fn new() -> Self {
        Self {
            survivors: Vec::new(),
        }
    }
}

/// The models that qualify, best first.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    snapshot: &'a Snapshot,
    survivors: &'a [Survivor],
}

impl<'a> Decision<'a> {
    /// The model to ask first; `None` if no model qualifies.
    pub fn chosen(&self) -> Option<&'a Target> {
        self.targets().next()
    }

    /// The model to ask first and those to fall back to, in order.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &'a Target> + use<'a> {
        let deployments = self.snapshot.deployments();
        self.survivors
            .iter()
            .map(|survivor| &deployments[survivor.at].target)
    }
}

impl Snapshot {
    /// Which models qualify, in the order of [`Snapshot::plan`], without the reasons for the others: the way for every
    /// request.
    pub fn decide<'a>(&'a self, request: &RouteRequest, scratch: &'a mut Scratch) -> Decision<'a> {
        let rules = Rules::new(request);
        scratch.survivors.clear();
        for (at, deployment) in self.deployments().iter().enumerate() {
            // Most models fail here, and pricing is what takes time.
            if rules.is_too_weak(deployment) {
                continue;
            }
            if let Verdict::Fits(fit) = rules.judge(deployment) {
                scratch.survivors.push(Survivor {
                    cost: fit.cost,
                    quality: fit.quality,
                    at,
                });
            }
        }
        order(&mut scratch.survivors, request.strategy);
        Decision {
            snapshot: self,
            survivors: &scratch.survivors,
        }
    }
}

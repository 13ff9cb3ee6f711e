//! The choice alone, without reasons and without allocation.

use crate::index::{Ask, Least, Row, Visitor};
use crate::rules::Rules;
use crate::strategy::{Contender, Dice, by_cost};
use crate::{NoSignals, RouteRequest, Signals, Snapshot, Target};

/// Room for decisions. Keep it and use it again: once it has grown to the number of deployments that qualify, deciding allocates
/// nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    contenders: Vec<Contender>,
    probability: f64,
}

impl Scratch {
    /// Room that has not grown yet.
    pub const fn new() -> Self {
        Self {
            contenders: Vec::new(),
            probability: 1.0,
        }
    }
}

/// The deployments to ask, best first.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    snapshot: &'a Snapshot,
    contenders: &'a [Contender],
    probability: f64,
}

impl<'a> Decision<'a> {
    /// The deployment to ask first; `None` if none qualifies.
    pub fn chosen(&self) -> Option<&'a Target> {
        self.targets().next()
    }

    /// The deployment to ask first and those to fall back to, in order: [`RouteRequest::max_targets`] at the most.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &'a Target> + use<'a> {
        let deployments = self.snapshot.deployments();
        self.contenders
            .iter()
            .map(|contender| &deployments[contender.at].target)
    }

    /// The same with what the strategy looked at.
    pub const fn contenders(&self) -> &'a [Contender] {
        self.contenders
    }

    /// How many of the first deployments are each of a higher quality than the one before: worth asking one after the other
    /// while answers are not good enough. See [`Cascade`](crate::Cascade).
    pub fn steps(&self) -> usize {
        let mut best = f64::NEG_INFINITY;
        let better = |contender: &&Contender| {
            let better = contender.quality.mean > best;
            best = best.max(contender.quality.mean);
            better
        };
        self.contenders.iter().take_while(better).count()
    }

    /// With which probability the first one was chosen: 1 where nothing was left to chance.
    pub const fn probability(&self) -> f64 {
        self.probability
    }
}

/// Gathers what qualifies.
struct Gatherer<'a, S: ?Sized> {
    rules: Rules<'a>,
    snapshot: &'a Snapshot,
    signals: &'a S,
    contenders: &'a mut Vec<Contender>,
    /// Where only the cheapest are wanted: how many.
    most: Option<usize>,
}

impl<S: Signals + ?Sized> Gatherer<'_, S> {
    /// The dearest of the cheapest so far, once there are enough of them.
    fn bar(&self) -> Option<&Contender> {
        self.most
            .filter(|most| self.contenders.len() >= *most)
            .and_then(|_| self.contenders.last())
    }
}

impl<S: Signals + ?Sized> Visitor for Gatherer<'_, S> {
    fn wants(&self, least: Least) -> bool {
        let Some(bar) = self.bar() else { return true };
        let request = self.rules.request;
        // A warm deployment costs less than its prices say.
        if request.warm.is_some() {
            return true;
        }
        let tokens = u128::from(request.prompt_tokens) * u128::from(least.prompt);
        let least = u128::from(request.completion_tokens)
            .checked_mul(u128::from(least.completion))
            .and_then(|cost| cost.checked_add(tokens));
        // Of equal cost the better one wins, so equal is not enough to be left out.
        least.is_some_and(|least| least <= u128::try_from(bar.cost.get()).unwrap_or_default())
    }

    fn look(&mut self, row: &Row) {
        let at = row.at as usize;
        let request = self.rules.request;
        let Some(deployment) = self.snapshot.deployments().get(at) else {
            return;
        };
        // A warm deployment costs less than its prices say. Of the others the price of most is already too much.
        let known = match row.price.filter(|_| !self.rules.is_warm(deployment)) {
            Some(price) => match price.cost(request.prompt_tokens, request.completion_tokens) {
                Some(cost) if self.bar().is_none_or(|bar| cost <= bar.cost) => Some(cost),
                _ => return,
            },
            None => None,
        };
        let Some(belief) = deployment.belief(request.task) else {
            return;
        };
        let reading = self.signals.reading(at);
        let Some(fit) = self.rules.judge_rest(deployment, known, belief, &reading) else {
            return;
        };
        let mut contender = Contender::new(at, fit.cost, fit.quality, reading);
        contender.is_warm = fit.is_warm;
        contender.weight = deployment.facts.weight;
        let Some(most) = self.most else {
            self.contenders.push(contender);
            return;
        };
        let place = self
            .contenders
            .partition_point(|other| by_cost(other, &contender).is_lt());
        if place < most {
            if self.contenders.len() >= most {
                self.contenders.pop();
            }
            self.contenders.insert(place, contender);
        }
    }
}

impl Snapshot {
    /// Which deployments to ask, in the order of [`Snapshot::plan`], without the reasons for the others: the way for every
    /// request. Nothing is known of how they are doing.
    pub fn decide<'a>(&'a self, request: &RouteRequest, scratch: &'a mut Scratch) -> Decision<'a> {
        self.decide_with(request, &NoSignals, scratch)
    }

    /// Like [`decide`](Self::decide), knowing how the deployments are doing.
    pub fn decide_with<'a, S: Signals + ?Sized>(
        &'a self,
        request: &RouteRequest,
        signals: &S,
        scratch: &'a mut Scratch,
    ) -> Decision<'a> {
        let most = request.max_targets.max(1);
        let by_cost_alone = request.strategy.is_by_cost_alone();
        scratch.contenders.clear();
        let mut gatherer = Gatherer {
            rules: Rules::new(request),
            snapshot: self,
            signals,
            contenders: &mut scratch.contenders,
            most: by_cost_alone.then_some(most),
        };
        let ask = Ask {
            task: request.task,
            needs: request.needs.union(request.task.needs()),
            allow_free: request.allow_free,
            min_quality: request.min_quality.unwrap_or(f64::NEG_INFINITY),
        };
        self.index.visit(ask, &mut gatherer);
        scratch.probability = arrange(request, &mut scratch.contenders);
        scratch.contenders.truncate(most);
        self.decision(scratch)
    }

    /// The decision that was made last in this scratch.
    pub(crate) fn decision<'a>(&'a self, scratch: &'a Scratch) -> Decision<'a> {
        Decision {
            snapshot: self,
            contenders: &scratch.contenders,
            probability: scratch.probability,
        }
    }
}

/// Puts what qualifies in order.
pub(crate) fn arrange(request: &RouteRequest, contenders: &mut [Contender]) -> f64 {
    if contenders.is_empty() {
        return 1.0;
    }
    // The index hands them over by price; chance and ties must not depend on that.
    if !request.strategy.is_by_cost_alone() {
        contenders.sort_unstable_by_key(|contender| contender.at);
    }
    let mut dice = Dice::new(request.seed);
    request.strategy.arrange(request, contenders, &mut dice)
}

//! Strategies that leave nothing to chance and need no live signals.

use super::{Contender, Dice, Strategy, Term, by_cost, sort_by};
use crate::RouteRequest;
use crate::strategy::lively::expected_ms;

/// The lowest expected cost first; of equal ones the higher quality, then the lower id.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cheapest;

impl Strategy for Cheapest {
    fn word(&self) -> String {
        "cheapest".to_owned()
    }

    fn is_by_cost_alone(&self) -> bool {
        true
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        contenders.sort_unstable_by(by_cost);
        1.0
    }

    fn terms(&self, _: &RouteRequest, _: &[Contender], _: &Contender) -> Vec<Term> {
        Vec::new()
    }
}

/// The highest quality first, of equal ones the cheapest. Give the request a `max_cost`, or it is always the dearest model.
#[derive(Debug, Clone, Copy, Default)]
pub struct BestQuality;

impl Strategy for BestQuality {
    fn word(&self) -> String {
        "best-quality".to_owned()
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        sort_by(contenders, |one| -one.quality.mean)
    }
}

/// The highest weighted sum of cheapness, quality and speed. Each is put on a scale from 0, the worst of those that qualify, to 1,
/// the best of them; what nobody has timed is as fast as the slowest known.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct WeightedUtility {
    /// The weight of a low cost, at least 0.
    pub cost: f64,
    /// The weight of a high quality, at least 0.
    pub quality: f64,
    /// The weight of a low latency, at least 0.
    pub latency: f64,
}

impl WeightedUtility {
    /// These weights; `None` unless all are finite and not negative, and one is positive.
    pub fn new(cost: f64, quality: f64, latency: f64) -> Option<Self> {
        let weights = [cost, quality, latency];
        let fine = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        (fine && weights.iter().any(|weight| *weight > 0.0)).then_some(Self {
            cost,
            quality,
            latency,
        })
    }
}

/// Cost and quality count the same, latency half of that.
impl Default for WeightedUtility {
    fn default() -> Self {
        Self {
            cost: 1.0,
            quality: 1.0,
            latency: 0.5,
        }
    }
}

/// The least and the greatest of some figures.
#[derive(Clone, Copy)]
struct Range(f64, f64);

impl Range {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        figures.fold(Self(f64::INFINITY, f64::NEG_INFINITY), |range, figure| {
            Self(range.0.min(figure), range.1.max(figure))
        })
    }

    /// 0 for the greatest, 1 for the least; 1 where all are equal.
    fn lowness(self, figure: f64) -> f64 {
        let width = self.1 - self.0;
        if width > 0.0 {
            (self.1 - figure) / width
        } else {
            1.0
        }
    }
}

struct Scales {
    cost: Range,
    quality: Range,
    latency: Range,
}

impl Scales {
    fn of(request: &RouteRequest, contenders: &[Contender]) -> Self {
        Self {
            cost: Range::of(contenders.iter().map(|one| one.cost.get() as f64)),
            quality: Range::of(contenders.iter().map(|one| one.quality.mean)),
            latency: Range::of(
                contenders
                    .iter()
                    .filter_map(|one| expected_ms(request, &one.reading)),
            ),
        }
    }
}

impl WeightedUtility {
    fn parts(self, request: &RouteRequest, scales: &Scales, one: &Contender) -> [Term; 3] {
        let slowest = scales.latency.1;
        let latency = expected_ms(request, &one.reading).unwrap_or(slowest);
        // Nobody was timed: nobody is faster.
        let speed = if latency.is_finite() {
            scales.latency.lowness(latency)
        } else {
            1.0
        };
        [
            Term::new("cost", self.cost * scales.cost.lowness(one.cost.get() as f64)),
            Term::new(
                "quality",
                self.quality * (1.0 - scales.quality.lowness(one.quality.mean)),
            ),
            Term::new("latency", self.latency * speed),
        ]
    }
}

impl Strategy for WeightedUtility {
    fn word(&self) -> String {
        format!(
            "weighted-utility:cost={},quality={},latency={}",
            self.cost, self.quality, self.latency
        )
    }

    fn arrange(&self, request: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        let scales = Scales::of(request, contenders);
        sort_by(contenders, |one| {
            -self
                .parts(request, &scales, one)
                .iter()
                .map(|term| term.value)
                .sum::<f64>()
        })
    }

    fn terms(&self, request: &RouteRequest, contenders: &[Contender], one: &Contender) -> Vec<Term> {
        self.parts(request, &Scales::of(request, contenders), one)
            .to_vec()
    }
}

/// The contenders that no other one beats: in cost and quality, in one of them strictly, and in speed where both were timed.
/// Their places in the slice, in its order.
pub fn pareto_front(request: &RouteRequest, contenders: &[Contender]) -> Vec<usize> {
    let beats = |a: &Contender, b: &Contender| {
        let times = (expected_ms(request, &a.reading), expected_ms(request, &b.reading));
        let (as_fast, faster) = match times {
            (Some(a), Some(b)) => (a <= b, a < b),
            (None, None) => (true, false),
            // A known speed against an unknown one decides nothing.
            _ => (false, false),
        };
        let as_good = a.cost <= b.cost && a.quality.mean >= b.quality.mean && as_fast;
        as_good && (a.cost < b.cost || a.quality.mean > b.quality.mean || faster)
    };
    (0..contenders.len())
        .filter(|at| {
            contenders
                .get(*at)
                .is_some_and(|one| !contenders.iter().any(|other| beats(other, one)))
        })
        .collect()
}

/// Each in turn, by place: the request's `turn` says whose it is. The others follow in the same round.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin;

impl Strategy for RoundRobin {
    fn word(&self) -> String {
        "round-robin".to_owned()
    }

    fn arrange(&self, request: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        contenders.sort_unstable_by_key(|one| one.at);
        let count = contenders.len().max(1) as u64;
        contenders.rotate_left(usize::try_from(request.turn % count).unwrap_or_default());
        for (place, one) in contenders.iter_mut().enumerate() {
            one.score = place as f64;
        }
        1.0
    }
}

/// Stays with the deployment whose cache is [warm](RouteRequest::warm) until another one is cheaper by more than a share of its
/// cost, cache reads counted. Else as [`Cheapest`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sticky {
    /// By how much of its own cost the warm one may be dearer than the cheapest, at least 0. Moving loses the cache for all calls to
    /// come, not only for this one.
    pub tolerance: f64,
}

impl Sticky {
    /// This tolerance; `None` unless it is finite and not negative.
    pub fn new(tolerance: f64) -> Option<Self> {
        (tolerance.is_finite() && tolerance >= 0.0).then_some(Self { tolerance })
    }
}

/// A quarter.
impl Default for Sticky {
    fn default() -> Self {
        Self { tolerance: 0.25 }
    }
}

impl Strategy for Sticky {
    fn word(&self) -> String {
        format!("sticky:tolerance={}", self.tolerance)
    }

    fn arrange(&self, request: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        contenders.sort_unstable_by(by_cost);
        let Some(warm) = &request.warm else { return 1.0 };
        let place = contenders.iter().position(|one| one.is_warm);
        if let (Some(place), Some(cheapest)) = (place, contenders.first().copied())
            && let Some(one) = contenders.get(place)
            && warm.cached_tokens > 0
            && one.cost.get() as f64 * (1.0 - self.tolerance) <= cheapest.cost.get() as f64
            && let Some(front) = contenders.get_mut(..=place)
        {
            front.rotate_right(1);
        }
        1.0
    }
}

/// The cheapest first, then only ever better ones: each is worth asking after the one before it gave an answer that was not good
/// enough. Those that are no better than a cheaper one come last, for when all else fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cascade;

impl Strategy for Cascade {
    fn word(&self) -> String {
        "cascade".to_owned()
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        contenders.sort_unstable_by(by_cost);
        let mut best = f64::NEG_INFINITY;
        let mut step = 0.0;
        let others = contenders.len() as f64;
        for one in contenders.iter_mut() {
            let better = one.quality.mean > best;
            best = best.max(one.quality.mean);
            one.score = if better { step } else { others + step };
            step += 1.0;
        }
        contenders.sort_unstable_by(super::by_score);
        1.0
    }
}

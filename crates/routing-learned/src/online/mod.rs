//! Policies that go on learning: a choice for each request, and an outcome after it.
//!
//! [`Contextual`] holds a small regression per model, chooses by optimism or by chance, and tells with which probability it chose, so
//! that its log can be read by `experiments::off_policy`. [`project`] makes its contexts of sparse features. [`onboard`] places a new
//! model by some hundreds of anchor prompts.
//!
//! # When to use it
//!
//! From nothing, a bandit over a dozen models takes more than ten thousand requests to be worth its exploration. Begin with a few
//! hundred prompts answered and scored by every model ([`Contextual::warm_start`]), 16 dimensions, and [`Rule::LinUcb`] with
//! an `alpha` of 0.05. Where there are none, [`Rule::Thompson`] wastes least.

mod anchors;
mod belief;
mod error;
mod lin_ucb;
mod project;
mod thompson;

use std::fmt;

use experiments::bandit::Dice;
use serde::{Deserialize, Serialize};

use belief::{Belief, StoredBelief, check_context};
use error::{in_range, long};

pub use anchors::{Mix, NEEDED_ANCHORS, Placement, onboard};
pub use error::OnlineError;
pub use project::project;

/// The most dimensions of a context. More learn too slowly to be worth it: the right number is nearer to 16.
pub const MOST_DIMENSIONS: usize = 64;

/// The most arms.
pub const MOST_ARMS: usize = 64;

/// How many spreads √(xᵀPx) around its mean an arm's utility may plausibly be: rewards from 0 to 1 have a deviation of ½ at most, so this is
/// three deviations at least. Two would do for one look; beliefs are looked at with every request, and an arm that had bad luck once would
/// not be tried again.
const PLAUSIBLE: f64 = 1.5;

/// How an arm is chosen, where it is not explored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// The arm with the largest utility + `alpha` × √(xᵀPx): the same one for the same beliefs.
    LinUcb {
        /// From 0 to 10. 0.05 after a warm start, about 0.5 without.
        alpha: f64,
    },
    /// Each arm as often as it is believed to be best, from 32 draws for each choice.
    Thompson {
        /// The deviation of a reward around its mean, from 0 to 10: ½ is the most that rewards from 0 to 1 can have; 0.2 learns sooner.
        spread: f64,
    },
}

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// By what.
    pub rule: Rule,
    /// The part of choices, from 0 to 1, made evenly among the plausible arms instead: those whose utility may reach the largest that
    /// some arm surely has. 0.01 to 0.05 make a log from which other policies can be judged. Even exploration of all arms would waste
    /// most of it on ones that are known to be worse.
    pub exploration: f64,
}

impl Settings {
    fn check(self) -> Result<Self, OnlineError> {
        let (what, value) = match self.rule {
            Rule::LinUcb { alpha } => ("alpha", alpha),
            Rule::Thompson { spread } => ("the spread", spread),
        };
        in_range(what, value, (0.0, 10.0), "from 0 to 10")?;
        in_range("the explored part", self.exploration, (0.0, 1.0), "from 0 to 1")?;
        Ok(self)
    }
}

/// A choice, to be logged with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// The arm's number, from 0.
    pub arm: usize,
    /// The probability of this arm in the draw that chose it; above 0 and up to 1, and exact.
    ///
    /// By [`Rule::LinUcb`] it is that of the choice given the context, the prices and the beliefs. By [`Rule::Thompson`] it is that given
    /// the 32 draws as well: k/32 of the draws held the arm for best, less what is explored. Estimates that weigh by 1/propensity are
    /// right with it, because the arm is drawn after the draws were made, by the very weights they gave. It is not the probability
    /// over all draws, of which it is a noisy version, so weights waver somewhat more.
    pub propensity: f64,
    /// One bit per arm.
    reachable: u64,
}

impl Chosen {
    /// Whether the same draw could have chosen this arm: its propensity was above 0. The probability that a policy under judgement
    /// chooses an arm of which this is false is `unreachable` of `experiments::off_policy::Logged`.
    pub const fn could_choose(&self, arm: usize) -> bool {
        arm < MOST_ARMS && (self.reachable >> arm) & 1 == 1
    }
}

/// What a rule sees of an arm.
#[derive(Debug, Clone, Copy, Default)]
struct View {
    /// Predicted reward less λ × price.
    utility: f64,
    /// √(xᵀPx).
    spread: f64,
    /// The probability it is chosen with.
    weight: f64,
    candidate: bool,
}

/// All arms at one context. On the stack, so that a choice allocates nothing.
struct Views {
    views: [View; MOST_ARMS],
    arms: usize,
}

impl Views {
    fn candidates(&self) -> impl Iterator<Item = (usize, &View)> {
        let known = self.views.iter().take(self.arms).enumerate();
        known.filter(|(_, view)| view.candidate)
    }

    fn add(&mut self, arm: usize, weight: f64) {
        if let Some(view) = self.views.get_mut(arm) {
            view.weight += weight;
        }
    }

    /// Takes `exploration` of all weight and spreads it evenly over the plausible arms.
    fn explore(&mut self, exploration: f64) {
        if exploration == 0.0 {
            return;
        }
        let surely = |view: &View| view.utility - PLAUSIBLE * view.spread;
        let most = self
            .candidates()
            .map(|(_, view)| surely(view))
            .fold(f64::NEG_INFINITY, f64::max);
        let plausible = |view: &View| view.candidate && view.utility + PLAUSIBLE * view.spread >= most;
        let count = self.candidates().filter(|(_, view)| plausible(view)).count();
        for view in self.views.iter_mut().take(self.arms) {
            view.weight *= 1.0 - exploration;
            if plausible(view) {
                view.weight += exploration / count as f64;
            }
        }
    }

    /// Draws an arm by the weights.
    fn draw(&self, dice: &mut Dice) -> Option<Chosen> {
        let possible = || self.candidates().filter(|(_, view)| view.weight > 0.0);
        let reachable = possible().fold(0, |set, (arm, _)| set | (1_u64 << arm));
        let mut left = dice.unit();
        let mut chosen = None;
        for (arm, view) in possible() {
            // Where rounding leaves a rest after the last arm, the last one is it.
            chosen = Some(Chosen {
                arm,
                propensity: view.weight.min(1.0),
                reachable,
            });
            if left < view.weight {
                break;
            }
            left -= view.weight;
        }
        chosen
    }
}

/// One Bayesian linear regression of rewards on contexts for each arm, and a rule that chooses by them.
///
/// A context is a handful of numbers known before the choice (fixed at construction, 1 to 64 of them, each from −1000 to 1000 and best
/// near 1; one of them a constant 1). A reward is how good the answer was, from 0 to 1. The utility of an arm is its predicted reward less
/// λ × its price, where λ is 0 if cost does not matter, a constant, or that of a [`BudgetPacer`](crate::pacing::BudgetPacer).
///
/// The state is the same, but for rounding, whatever the order in which outcomes arrive, so late ones do no harm. It can be stored; what
/// is read is checked. Choices need no exclusive access; choosing and observing allocate nothing.
///
/// It assumes that rewards depend on contexts in about the same way over time: nothing is forgotten. If a model was replaced behind
/// its name, begin its arm anew.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Contextual {
    settings: Settings,
    dimension: usize,
    arms: Vec<Belief>,
}

/// Without the numbers: an arm has hundreds.
impl fmt::Debug for Contextual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contextual")
            .field("settings", &self.settings)
            .field("dimension", &self.dimension)
            .field("arms", &self.arms.len())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    settings: Settings,
    dimension: usize,
    arms: Vec<StoredBelief>,
}

impl From<Contextual> for Stored {
    fn from(policy: Contextual) -> Self {
        Self {
            settings: policy.settings,
            dimension: policy.dimension,
            arms: policy.arms.iter().map(Belief::store).collect(),
        }
    }
}

impl TryFrom<Stored> for Contextual {
    type Error = OnlineError;

    fn try_from(stored: Stored) -> Result<Self, OnlineError> {
        let mut policy = Self::new(stored.dimension, stored.settings)?;
        for arm in stored.arms {
            policy.room()?;
            policy.arms.push(Belief::read(arm, stored.dimension)?);
        }
        Ok(policy)
    }
}

impl Contextual {
    /// A policy without arms, for contexts of `dimension` numbers.
    ///
    /// # Errors
    /// [`OnlineError`] unless `dimension` is from 1 to 64 and the settings are in their ranges.
    pub fn new(dimension: usize, settings: Settings) -> Result<Self, OnlineError> {
        if dimension == 0 || dimension > MOST_DIMENSIONS {
            return Err(OnlineError::Count {
                what: "the number of dimensions",
                value: dimension,
                range: "from 1 to 64",
            });
        }
        Ok(Self {
            settings: settings.check()?,
            dimension,
            arms: Vec::new(),
        })
    }

    fn room(&self) -> Result<(), OnlineError> {
        if self.arms.len() < MOST_ARMS {
            return Ok(());
        }
        Err(OnlineError::Count {
            what: "the number of arms",
            value: self.arms.len() + 1,
            range: "64 at most",
        })
    }

    /// Adds an arm and gives its number, the next one from 0. `mean` is what is believed of its weights beforehand (zeros where nothing
    /// is, or those of a similar arm), and `strength` is how many outcomes in each direction that belief is worth, from 0.001 to a
    /// million; 1 does for contexts near 1.
    ///
    /// # Errors
    /// [`OnlineError`] if there are 64 arms, `mean` is not as long as a context, or a number is out of its range.
    pub fn add_arm(&mut self, mean: &[f64], strength: f64) -> Result<usize, OnlineError> {
        self.room()?;
        long("a prior's mean", mean.len(), self.dimension)?;
        self.arms.push(Belief::new(mean, strength)?);
        Ok(self.arms.len() - 1)
    }

    /// Learns from prompts that every arm has answered: `contexts` row by row, and `rewards` row by row with one for each arm. About 300
    /// prompts do for 16 dimensions.
    ///
    /// # Errors
    /// [`OnlineError`] unless both have the same number of whole rows and all numbers are in range. Nothing is learnt then.
    pub fn warm_start(&mut self, contexts: &[f64], rewards: &[f64]) -> Result<(), OnlineError> {
        if self.arms.is_empty() {
            return Err(OnlineError::NoArm);
        }
        let rows = rewards.len() / self.arms.len();
        long("the rewards", rewards.len(), rows * self.arms.len())?;
        long("the contexts", contexts.len(), rows * self.dimension)?;
        for context in contexts.chunks_exact(self.dimension) {
            check_context(context, self.dimension)?;
        }
        for reward in rewards {
            check_reward(*reward)?;
        }
        let rows = contexts
            .chunks_exact(self.dimension)
            .zip(rewards.chunks_exact(self.arms.len()));
        for (context, rewards) in rows {
            for (arm, reward) in self.arms.iter_mut().zip(rewards) {
                arm.observe(context, *reward);
            }
        }
        Ok(())
    }

    /// Chooses an arm for a request.
    ///
    /// `prices` has one for each arm: what a choice of it is expected to cost in the unit that `lambda` is for (0 or more); `None` where it is
    /// not known, or the arm cannot serve this request: it is not chosen then. Money does not belong here:
    /// [`BudgetPacer::weight`](crate::pacing::BudgetPacer::weight) makes a price of it.
    ///
    /// # Errors
    /// [`OnlineError::NoArm`] if there is none to choose; others if a slice has the wrong length, or a number is out of its range.
    pub fn select(
        &self,
        context: &[f64],
        prices: &[Option<f64>],
        lambda: f64,
        dice: &mut Dice,
    ) -> Result<Chosen, OnlineError> {
        check_context(context, self.dimension)?;
        long("the list of prices", prices.len(), self.arms.len())?;
        in_range("lambda", lambda, (0.0, f64::MAX), "0 or more")?;
        let mut views = Views {
            views: [View::default(); MOST_ARMS],
            arms: self.arms.len(),
        };
        for ((view, arm), price) in views.views.iter_mut().zip(&self.arms).zip(prices) {
            let Some(price) = price else { continue };
            let price = in_range("a price", *price, (0.0, f64::MAX), "0 or more")?;
            // 1e12 × any reward: what costs more is not compared any more, and keeps sums finite.
            let charged = (lambda * price).min(1e12);
            *view = View {
                utility: arm.predicted(context) - charged,
                spread: arm.spread(context),
                weight: 0.0,
                candidate: true,
            };
        }
        match self.settings.rule {
            Rule::LinUcb { alpha } => lin_ucb::weigh(&mut views, alpha),
            Rule::Thompson { spread } => thompson::weigh(&mut views, spread, dice),
        }
        views.explore(self.settings.exploration);
        views.draw(dice).ok_or(OnlineError::NoArm)
    }

    /// Learns what came of a choice, at the context it was made at. A reward that never came is not a reward of 0: leave it out.
    ///
    /// # Errors
    /// [`OnlineError`] if there is no such arm, the context is not one, or the reward is not from 0 to 1. Nothing is learnt then.
    pub fn observe(&mut self, arm: usize, context: &[f64], reward: f64) -> Result<(), OnlineError> {
        check_context(context, self.dimension)?;
        check_reward(reward)?;
        let arms = self.arms.len();
        let belief = self
            .arms
            .get_mut(arm)
            .ok_or(OnlineError::UnknownArm { arm, arms })?;
        belief.observe(context, reward);
        Ok(())
    }

    fn arm(&self, arm: usize) -> Result<&Belief, OnlineError> {
        let arms = self.arms.len();
        self.arms.get(arm).ok_or(OnlineError::UnknownArm { arm, arms })
    }

    /// The reward that is expected of an arm, from what was learnt. It is not held to 0 to 1, and estimates that compare what came of a
    /// choice with it must not have it learn from that outcome first.
    ///
    /// # Errors
    /// [`OnlineError`] if there is no such arm, or the context is not one.
    pub fn predicted(&self, arm: usize, context: &[f64]) -> Result<f64, OnlineError> {
        check_context(context, self.dimension)?;
        Ok(self.arm(arm)?.predicted(context))
    }

    /// The weights of an arm: what a prediction multiplies a context with.
    ///
    /// # Errors
    /// [`OnlineError`] if there is no such arm.
    pub fn weights(&self, arm: usize) -> Result<&[f64], OnlineError> {
        Ok(self.arm(arm)?.mean())
    }

    /// How many outcomes an arm has learnt from.
    ///
    /// # Errors
    /// [`OnlineError`] if there is no such arm.
    pub fn observed(&self, arm: usize) -> Result<u64, OnlineError> {
        Ok(self.arm(arm)?.observed())
    }

    /// How many arms there are.
    pub const fn arms(&self) -> usize {
        self.arms.len()
    }

    /// How many numbers a context has.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }
}

fn check_reward(reward: f64) -> Result<(), OnlineError> {
    in_range("a reward", reward, (0.0, 1.0), "from 0 to 1")?;
    Ok(())
}

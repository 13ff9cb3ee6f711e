//! What a caller wants of a model.

use std::sync::Arc;
use std::time::Duration;

use costing::{Markup, UtcTime};
use integration_core::{CapabilitySet, ModelPattern};
use rust_decimal::Decimal;

use crate::strategy::{Cheapest, Strategy};
use crate::{DataPolicy, Target, Task};

/// What is asked of the choice: the task, what the model must be able to do, what it may cost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouteRequest {
    /// Which quality counts.
    pub task: Task,
    /// The least quality, on the task's own index. `None`: any known quality will do; an unknown one never does.
    pub min_quality: Option<f64>,
    /// How sure the least quality must be: 0.95 asks that it is reached with 95 % confidence by what is believed of the model; `None`
    /// asks it of the expected quality, as 0.5 does. Below 0.5 it counts as 0.5.
    pub confidence: Option<f64>,
    /// What the model must be able to do.
    pub needs: CapabilitySet,
    /// The prompt's size in tokens, for the expected cost and the context.
    pub prompt_tokens: u64,
    /// The answer's size in tokens, for the expected cost and the context.
    pub completion_tokens: u64,
    /// The least context length in tokens. Prompt and answer must fit in any case.
    pub context: Option<u64>,
    /// The most the call may be expected to cost in US dollars, without markup.
    pub max_cost: Option<Decimal>,
    /// The most a million tokens may cost in US dollars, without markup: of the prompt, and of the answer.
    pub max_price: Option<Decimal>,
    /// Whether `:free` variants may be chosen. They are strongly limited, and some train on what they are sent.
    pub allow_free: bool,
    /// What must be promised of the caller's data. A deployment of which nothing is known promises nothing.
    pub data_policy: Option<DataPolicy>,
    /// Where the call must be served, such as `eu`. A deployment whose regions are not known is nowhere.
    pub region: Option<String>,
    /// The most a call may be expected to take. It refuses deployments known to be slower; one that nobody has timed yet passes, and
    /// the call's deadline holds it to the limit.
    pub max_latency: Option<Duration>,
    /// The only models that may be chosen; empty: all.
    pub only: Vec<ModelPattern>,
    /// The models that must not be chosen.
    pub never: Vec<ModelPattern>,
    /// The deployment that has a part of the prompt in its cache, and how much. The expected cost there counts the cached part at
    /// the price of a cache read, so that whatever is saved by going elsewhere is more than what going there costs.
    pub warm: Option<Warm>,
    /// How what qualifies is ordered.
    pub strategy: Arc<dyn Strategy>,
    /// The seed of random choices: the same seed makes the same choice.
    pub seed: u64,
    /// The turn of strategies that take turns: one more with each call.
    pub turn: u64,
    /// The most deployments a decision lists: the choice and those to fall back to. 0 counts as 1.
    pub max_targets: usize,
    /// When the call is made: prices can depend on the time, and models expire.
    pub at: UtcTime,
    /// What is added to the cost in the expected charge.
    pub markup: Markup,
}

impl RouteRequest {
    /// The prompt's assumed size where nothing is known of it, in tokens.
    pub const DEFAULT_PROMPT_TOKENS: u64 = 1_000;
    /// The answer's assumed size where nothing is known of it, in tokens.
    pub const DEFAULT_COMPLETION_TOKENS: u64 = 500;

    /// How many deployments a decision lists where nobody says.
    pub const DEFAULT_MAX_TARGETS: usize = 16;

    /// The cheapest model with a known quality for the task, for a prompt of 1,000 tokens and an answer of 500.
    pub fn new(task: Task, at: UtcTime) -> Self {
        Self {
            task,
            min_quality: None,
            confidence: None,
            needs: CapabilitySet::EMPTY,
            prompt_tokens: Self::DEFAULT_PROMPT_TOKENS,
            completion_tokens: Self::DEFAULT_COMPLETION_TOKENS,
            context: None,
            max_cost: None,
            max_price: None,
            allow_free: false,
            data_policy: None,
            region: None,
            max_latency: None,
            only: Vec::new(),
            never: Vec::new(),
            warm: None,
            strategy: Arc::new(Cheapest),
            seed: 0,
            turn: 0,
            max_targets: Self::DEFAULT_MAX_TARGETS,
            at,
            markup: Markup::DEFAULT,
        }
    }
}

/// A deployment whose cache holds the beginning of the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warm {
    /// Which one.
    pub target: Target,
    /// How many tokens of the prompt it is believed to hold.
    pub cached_tokens: u64,
}

impl Warm {
    /// So many tokens of the prompt are in the cache of this deployment.
    pub const fn new(target: Target, cached_tokens: u64) -> Self {
        Self {
            target,
            cached_tokens,
        }
    }
}

//! What a caller wants of a model.

use std::fmt;
use std::str::FromStr;

use costing::{Markup, UtcTime};
use integration_core::CapabilitySet;
use rust_decimal::Decimal;

use crate::Task;

/// What is asked of the choice: the task, what the model must be able to do, what it may cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RouteRequest {
    /// Which quality counts.
    pub task: Task,
    /// The least quality, on the task's own index. `None`: any known quality will do; an unknown one never does.
    pub min_quality: Option<f64>,
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
    /// How what qualifies is ordered.
    pub strategy: Strategy,
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

    /// The cheapest model with a known quality for the task, for a prompt of 1,000 tokens and an answer of 500.
    pub const fn new(task: Task, at: UtcTime) -> Self {
        Self {
            task,
            min_quality: None,
            needs: CapabilitySet::EMPTY,
            prompt_tokens: Self::DEFAULT_PROMPT_TOKENS,
            completion_tokens: Self::DEFAULT_COMPLETION_TOKENS,
            context: None,
            max_cost: None,
            max_price: None,
            allow_free: false,
            strategy: Strategy::Cheapest,
            at,
            markup: Markup::DEFAULT,
        }
    }
}

/// How what qualifies is ordered. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// The lowest expected cost first; of equal ones the higher quality, then the lower id.
    #[default]
    Cheapest,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 1] = [Self::Cheapest];

    /// The word for it on command lines and in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cheapest => "cheapest",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no strategy. The message lists those there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a strategy; there is {names}", names = Strategy::ALL.map(Strategy::as_str).join(", "))]
pub struct UnknownStrategy(String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(word: &str) -> Result<Self, UnknownStrategy> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == word)
            .ok_or_else(|| UnknownStrategy(word.to_owned()))
    }
}

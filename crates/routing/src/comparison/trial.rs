//! One model's go at one prompt.

use std::time::Duration;

use costing::Pico;

/// What came of asking one model one prompt. Whatever is not known is `None`, and stays out of every mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Trial {
    /// Whether there is a complete answer.
    pub is_answered: bool,
    /// What it cost, attempts that failed included; `None` if that of one of them is not known.
    pub cost: Option<Pico>,
    /// From sending to the end of the answer.
    pub latency: Option<Duration>,
    /// From sending to the first piece a reader would see.
    pub first_content: Option<Duration>,
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: Option<u64>,
    /// Tokens of reasoning alone.
    pub reasoning_tokens: Option<u64>,
    /// How many structural checks the answer passed; at most `checks`.
    pub passed: u32,
    /// How many structural checks were made.
    pub checks: u32,
}

impl Trial {
    /// A trial without an answer, and of which nothing is known.
    pub fn failed() -> Self {
        Self::default()
    }

    /// A trial with a complete answer, of which nothing else is known.
    pub fn answered() -> Self {
        Self {
            is_answered: true,
            ..Self::default()
        }
    }

    /// Sets what it cost.
    #[must_use]
    pub const fn with_cost(mut self, cost: Option<Pico>) -> Self {
        self.cost = cost;
        self
    }

    /// Sets how many checks were passed, of how many. More passed than made counts as all.
    #[must_use]
    pub fn with_checks(mut self, passed: u32, checks: u32) -> Self {
        self.passed = passed.min(checks);
        self.checks = checks;
        self
    }

    /// Whether the answer passed every check; `None` if there is no answer, or none was made.
    pub fn passed_all(&self) -> Option<bool> {
        (self.is_answered && self.checks > 0).then_some(self.passed == self.checks)
    }
}

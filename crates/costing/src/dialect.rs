//! How a provider counts: which counts are parts of others, and which stand beside them.

/// Whether a count is a part of the larger one or comes on top of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Counted {
    /// A part: it is in the larger count already.
    #[default]
    Within,
    /// Not a part: both are added to make the whole.
    Beside,
}

/// What a provider's counts mean. Each client declares it; it is never guessed from the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct UsageDialect {
    /// Reasoning tokens and the completion's tokens.
    pub reasoning: Counted,
    /// Tokens read from and written to a cache, and the prompt's tokens.
    pub cache: Counted,
}

impl UsageDialect {
    /// OpenAI, OpenRouter and those that follow them: reasoning is within the completion, the cache within the prompt.
    pub const OPENAI: Self = Self {
        reasoning: Counted::Within,
        cache: Counted::Within,
    };
    /// Anthropic's own interface: `input_tokens` are those that no cache had a part in.
    pub const ANTHROPIC: Self = Self {
        reasoning: Counted::Within,
        cache: Counted::Beside,
    };
    /// Google's own interface: thoughts are counted beside the candidates.
    pub const GOOGLE: Self = Self {
        reasoning: Counted::Beside,
        cache: Counted::Within,
    };

    /// This dialect, with reasoning counted so.
    #[must_use]
    pub const fn with_reasoning(mut self, reasoning: Counted) -> Self {
        self.reasoning = reasoning;
        self
    }

    /// This dialect, with the cache's tokens counted so.
    #[must_use]
    pub const fn with_cache(mut self, cache: Counted) -> Self {
        self.cache = cache;
        self
    }
}

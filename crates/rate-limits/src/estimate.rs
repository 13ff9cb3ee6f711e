//! How many tokens a call is taken to need before it is made.

use integration_core::{ChatRequest, EmbeddingRequest};

/// The completion taken to be wanted where a request names no limit.
pub const DEFAULT_COMPLETION_TOKENS: u64 = 1_024;

/// Bytes of text taken for one token. English prose has about four, code and other languages fewer: then the estimate is too
/// low, and the difference is booked when the call is settled.
const BYTES_PER_TOKEN: u64 = 4;

/// A guess, replaced by the true count once the call is settled.
///
/// A plain number of tokens ([`From<u64>`]) is taken for a prompt: it is never cut ([`fitting`](Self::fitting)), and so refused where
/// it is more than a minute gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenEstimate {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// The most tokens of the answer.
    pub completion: u64,
}

impl TokenEstimate {
    /// A guess made elsewhere.
    pub const fn new(prompt: u64, completion: u64) -> Self {
        Self { prompt, completion }
    }

    /// The prompt: the bytes of its text divided by four, rounded up; pictures, sound and files are not counted. The
    /// completion: the request's own limit, or else `default_completion`.
    pub fn of_chat(request: &ChatRequest, default_completion: u64) -> Self {
        Self {
            prompt: tokens(request.text_bytes()),
            completion: request.completion_limit().unwrap_or(default_completion),
        }
    }

    /// The texts, each like a prompt; there is no completion.
    pub fn of_embedding(request: &EmbeddingRequest) -> Self {
        let texts = request.input.iter().map(|text| tokens(text.len()));
        Self {
            prompt: texts.fold(0, u64::saturating_add),
            completion: 0,
        }
    }

    /// Both together.
    pub const fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }

    /// What to reserve under a limit of tokens per minute. A completion limit is the most a model may write, mostly far more
    /// than it does: where it does not fit beside the prompt, it is cut so that the call may take the whole minute. A prompt
    /// that does not fit is not cut, and so refused.
    ///
    /// ```
    /// use rate_limits::TokenEstimate;
    /// let estimate = TokenEstimate::new(3_000, 64_000);
    /// assert_eq!(estimate.fitting(None), 67_000);
    /// assert_eq!(estimate.fitting(Some(30_000)), 30_000);
    /// assert_eq!(estimate.fitting(Some(2_000)), 3_000);
    /// ```
    pub fn fitting(self, tokens_per_minute: Option<u64>) -> u64 {
        match tokens_per_minute {
            Some(limit) => self.total().min(limit.max(self.prompt)),
            None => self.total(),
        }
    }
}

impl From<u64> for TokenEstimate {
    fn from(tokens: u64) -> Self {
        Self::new(tokens, 0)
    }
}

fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN)
}

//! From the overlapping counts of a usage record to buckets that share no token.

use std::fmt;

use integration_core::Usage;
use serde::Serialize;

use crate::dialect::{Counted, UsageDialect};
use crate::remark::{Remark, Remarks};

/// One kind of thing that is paid for. No token is in two buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bucket {
    /// Prompt tokens that no cache had a part in.
    UncachedPrompt,
    /// Prompt tokens read from a cache.
    CacheRead,
    /// Prompt tokens written to a cache for the provider's usual time.
    CacheWrite,
    /// Prompt tokens written to a cache for an hour.
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    /// Audio tokens of the prompt, not read from a cache.
    AudioPrompt,
    /// Audio tokens of the prompt, read from a cache.
    AudioCacheRead,
    /// Image tokens of the prompt, not read from a cache.
    ImagePrompt,
    /// Completion tokens that are none of the following.
    Completion,
    /// Completion tokens spent on reasoning.
    Reasoning,
    /// Audio tokens of the completion.
    AudioCompletion,
    /// Image tokens of the completion.
    ImageCompletion,
    /// The request itself.
    Request,
    /// Web searches.
    WebSearch,
    /// Other tools the provider ran. No list has a price for them.
    ServerTool,
}

impl Bucket {
    pub(crate) const COUNT: usize = 14;

    /// Every bucket, in the order of a bill.
    pub const ALL: [Self; Self::COUNT] = [
        Self::UncachedPrompt,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::AudioPrompt,
        Self::AudioCacheRead,
        Self::ImagePrompt,
        Self::Completion,
        Self::Reasoning,
        Self::AudioCompletion,
        Self::ImageCompletion,
        Self::Request,
        Self::WebSearch,
        Self::ServerTool,
    ];

    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UncachedPrompt => "uncached_prompt",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioPrompt => "audio_prompt",
            Self::AudioCacheRead => "audio_cache_read",
            Self::ImagePrompt => "image_prompt",
            Self::Completion => "completion",
            Self::Reasoning => "reasoning",
            Self::AudioCompletion => "audio_completion",
            Self::ImageCompletion => "image_completion",
            Self::Request => "request",
            Self::WebSearch => "web_search",
            Self::ServerTool => "server_tool",
        }
    }

    /// Whether it counts tokens, rather than requests or calls.
    pub const fn is_tokens(self) -> bool {
        !matches!(self, Self::Request | Self::WebSearch | Self::ServerTool)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a usage record cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// The prompt's or the completion's tokens are not in it.
    #[error("the usage does not say how many tokens the {0} had")]
    NotReported(&'static str),
    /// A part is larger than the whole.
    #[error("the usage counts {part} {name} in a prompt of {prompt}")]
    Inconsistent {
        /// Which part.
        name: &'static str,
        /// Tokens of the part.
        part: u64,
        /// Tokens of the prompt.
        prompt: u64,
    },
    /// The counts that a dialect adds up are more than can be held.
    #[error("the usage counts more tokens in the {0} than can be held")]
    TooMany(&'static str),
}

/// What is to be paid for, taken apart into buckets that share no token.
///
/// The token buckets add up to `prompt_tokens + completion_tokens`, with one exception, see
/// [`Quantities::cache_counts_overlap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantities {
    counts: [u64; Bucket::COUNT],
    prompt_tokens: u64,
    remarks: Remarks,
}

impl Quantities {
    /// One request of plain text: nothing cached, no reasoning, no tools.
    pub fn of_tokens(prompt: u64, completion: u64) -> Self {
        let mut quantities = Self {
            counts: [0; Bucket::COUNT],
            prompt_tokens: prompt,
            remarks: Remarks::default(),
        };
        quantities.set(Bucket::UncachedPrompt, prompt);
        quantities.set(Bucket::Completion, completion);
        quantities.set(Bucket::Request, 1);
        quantities
    }

    /// Takes a usage record apart whose counts mean what OpenAI's and OpenRouter's mean, [`UsageDialect::OPENAI`].
    ///
    /// # Errors
    /// As [`Quantities::from_usage_as`].
    pub fn from_usage(usage: &Usage) -> Result<Self, QuantityError> {
        Self::from_usage_as(usage, UsageDialect::OPENAI)
    }

    /// Takes a usage record apart.
    ///
    /// - Where the completion is not reported but the total is, the rest of the total is the completion (embeddings).
    /// - Tokens read from a cache (`r`) and written to one (`w`) are parts of the prompt (`p`). Some upstreams count tokens
    ///   that were written and read by the same request in both. Where `r + w > p` the prompt is billed as `p − r` plain
    ///   tokens, `r` read and `w` written.
    /// - Which of the audio or image tokens were cached is not reported. They are taken to be among the uncached ones first, so
    ///   that the cost is never understated.
    /// - Parts of the completion are cut to the completion: some upstreams report a few more reasoning tokens than there are
    ///   tokens.
    /// - A count that the dialect says is beside the larger one is added to it first. Every other one is a part and is never
    ///   added on top.
    /// - Where prompt and completion are reported, a total that is not their sum changes nothing.
    ///
    /// What was cut, or does not add up, is in [`Quantities::remarks`].
    ///
    /// # Errors
    /// [`QuantityError::NotReported`] without prompt or completion tokens; [`QuantityError::Inconsistent`] if the tokens read
    /// or written are more than the prompt; [`QuantityError::TooMany`] if counts to be added are more than can be held.
    pub fn from_usage_as(usage: &Usage, dialect: UsageDialect) -> Result<Self, QuantityError> {
        let written_1h = usage.cache_write_1h_tokens.unwrap_or(0);
        // Those kept for an hour are among those written, where both are reported.
        let written = usage.cache_write_tokens.unwrap_or(0).max(written_1h);
        let read = usage.cached_tokens.unwrap_or(0);
        let mut prompt = usage.prompt_tokens.ok_or(QuantityError::NotReported("prompt"))?;
        if dialect.cache == Counted::Beside {
            let whole = prompt.checked_add(read).and_then(|sum| sum.checked_add(written));
            prompt = whole.ok_or(QuantityError::TooMany("prompt"))?;
        }
        let rest = || usage.total_tokens.and_then(|total| total.checked_sub(prompt));
        let reasoning = usage.reasoning_tokens.unwrap_or(0);
        let completion = match (usage.completion_tokens, dialect.reasoning) {
            (Some(text), Counted::Beside) => text
                .checked_add(reasoning)
                .ok_or(QuantityError::TooMany("completion"))?,
            (Some(whole), Counted::Within) => whole,
            (None, _) => rest().ok_or(QuantityError::NotReported("completion"))?,
        };
        let within = |name, part: u64| {
            if part > prompt {
                Err(QuantityError::Inconsistent { name, part, prompt })
            } else {
                Ok(part)
            }
        };
        let read = within("tokens read from a cache", read)?;
        let written = within("tokens written to a cache", written)?;

        let mut quantities = Self {
            counts: [0; Bucket::COUNT],
            prompt_tokens: prompt,
            remarks: Remarks::default(),
        };
        let uncached = match (prompt - read).checked_sub(written) {
            Some(uncached) => uncached,
            None => {
                quantities.remarks.add(Remark::CacheCountsOverlap);
                prompt - read
            }
        };
        let audio_all = usage.prompt_audio_tokens.unwrap_or(0);
        let audio = audio_all.min(uncached);
        let audio_read = (audio_all - audio).min(read);
        let image = usage.prompt_image_tokens.unwrap_or(0).min(uncached - audio);
        let media = audio_all.saturating_add(usage.prompt_image_tokens.unwrap_or(0));
        if media > prompt {
            quantities.remarks.add(Remark::PartsCut);
        }
        if usage
            .total_tokens
            .is_some_and(|total| prompt.checked_add(completion) != Some(total))
        {
            quantities.remarks.add(Remark::TotalDiffers);
        }
        quantities.set(Bucket::UncachedPrompt, uncached - audio - image);
        quantities.set(Bucket::CacheRead, read - audio_read);
        quantities.set(Bucket::CacheWrite, written - written_1h);
        quantities.set(Bucket::CacheWrite1h, written_1h);
        quantities.set(Bucket::AudioPrompt, audio);
        quantities.set(Bucket::AudioCacheRead, audio_read);
        quantities.set(Bucket::ImagePrompt, image);

        let mut text = completion;
        for (bucket, count) in [
            (Bucket::ImageCompletion, usage.completion_image_tokens),
            (Bucket::AudioCompletion, usage.completion_audio_tokens),
            (Bucket::Reasoning, usage.reasoning_tokens),
        ] {
            let part = count.unwrap_or(0).min(text);
            if part < count.unwrap_or(0) {
                quantities.remarks.add(Remark::PartsCut);
            }
            quantities.set(bucket, part);
            text -= part;
        }
        quantities.set(Bucket::Completion, text);

        let searches = usage.server_tools.web_search_requests.unwrap_or(0);
        let tools = usage.server_tools.tool_calls_executed.unwrap_or(0);
        quantities.set(Bucket::Request, 1);
        quantities.set(Bucket::WebSearch, searches);
        quantities.set(Bucket::ServerTool, tools.saturating_sub(searches));
        Ok(quantities)
    }

    /// How many are in a bucket.
    pub const fn get(&self, bucket: Bucket) -> u64 {
        self.counts[bucket as usize]
    }

    /// All tokens of the prompt, by which the price tier is chosen.
    pub const fn prompt_tokens(&self) -> u64 {
        self.prompt_tokens
    }

    /// Whether tokens that were written to a cache were counted as read from it, too. Then the token buckets add up to more
    /// than prompt and completion, by the tokens written.
    pub const fn cache_counts_overlap(&self) -> bool {
        self.remarks.contains(Remark::CacheCountsOverlap)
    }

    /// What was cut or does not add up.
    pub const fn remarks(&self) -> Remarks {
        self.remarks
    }

    /// All tokens in the buckets: prompt and completion, unless [`Quantities::cache_counts_overlap`].
    pub fn tokens(&self) -> u64 {
        let tokens = Bucket::ALL.into_iter().filter(|bucket| bucket.is_tokens());
        tokens.fold(0_u64, |sum, bucket| sum.saturating_add(self.get(bucket)))
    }

    /// The same without any token: what is left of a call whose tokens the provider does not bill.
    pub(crate) fn without_tokens(mut self) -> Self {
        for bucket in Bucket::ALL.into_iter().filter(|bucket| bucket.is_tokens()) {
            self.set(bucket, 0);
        }
        self
    }

    pub(crate) fn set(&mut self, bucket: Bucket, count: u64) {
        self.counts[bucket as usize] = count;
    }

    /// Puts what is in a bucket into another. Both are parts of one prompt or one completion, so the sum fits.
    pub(crate) fn merge(&mut self, from: Bucket, into: Bucket) {
        let moved = std::mem::take(&mut self.counts[from as usize]);
        let place = &mut self.counts[into as usize];
        *place = place.saturating_add(moved);
    }
}

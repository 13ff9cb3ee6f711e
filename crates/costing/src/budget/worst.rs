//! The most that a call can cost, by the function that will price it.

use rust_decimal::Decimal;

use crate::cost::Unpriced;
use crate::markup::MarkupRule;
use crate::money::Pico;
use crate::quantity::{Bucket, Quantities};
use crate::sheet::PriceSheet;
use crate::time::UtcTime;

/// Basis points in a whole.
const WHOLE_BPS: u128 = 10_000;

/// What is known of a call before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    prompt_tokens: u64,
    completion_tokens: Option<u64>,
    searches: u64,
    kinds: Kinds,
}

/// Kinds of tokens that only some calls can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Kinds {
    hour_cache: bool,
    audio_prompt: bool,
    image_prompt: bool,
    audio_completion: bool,
    image_completion: bool,
}

impl Estimate {
    /// A call whose prompt is counted or guessed to have so many tokens, and whose answer may be of any length.
    pub const fn new(prompt_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens: None,
            searches: 0,
            kinds: Kinds {
                hour_cache: false,
                audio_prompt: false,
                image_prompt: false,
                audio_completion: false,
                image_completion: false,
            },
        }
    }

    /// The same call, whose answer has at most so many tokens: by the request (`max_tokens`) or by the model. Said twice, the
    /// smaller one counts.
    #[must_use]
    pub fn with_most_completion_tokens(mut self, most: u64) -> Self {
        self.completion_tokens = Some(self.completion_tokens.map_or(most, |known| known.min(most)));
        self
    }

    /// The same call, which may search the web so often.
    #[must_use]
    pub const fn with_searches(mut self, searches: u64) -> Self {
        self.searches = searches;
        self
    }

    /// The same call, which asks that its prompt be kept in a cache for an hour.
    #[must_use]
    pub const fn with_hour_cache(mut self) -> Self {
        self.kinds.hour_cache = true;
        self
    }

    /// The same call, with sound in its prompt.
    #[must_use]
    pub const fn with_audio_prompt(mut self) -> Self {
        self.kinds.audio_prompt = true;
        self
    }

    /// The same call, with images in its prompt.
    #[must_use]
    pub const fn with_image_prompt(mut self) -> Self {
        self.kinds.image_prompt = true;
        self
    }

    /// The same call, which may be answered with sound.
    #[must_use]
    pub const fn with_audio_completion(mut self) -> Self {
        self.kinds.audio_completion = true;
        self
    }

    /// The same call, which may be answered with images.
    #[must_use]
    pub const fn with_image_completion(mut self) -> Self {
        self.kinds.image_completion = true;
        self
    }

    /// The most tokens of the answer, where there is a bound.
    pub const fn most_completion_tokens(&self) -> Option<u64> {
        self.completion_tokens
    }

    fn prompt_kinds(&self) -> impl Iterator<Item = Bucket> + use<> {
        let kinds = self.kinds;
        let all = [
            (true, Bucket::UncachedPrompt),
            (true, Bucket::CacheWrite),
            // Cheaper on every list there is; it costs little to be sure.
            (true, Bucket::CacheRead),
            (kinds.hour_cache, Bucket::CacheWrite1h),
            (kinds.audio_prompt, Bucket::AudioPrompt),
            (kinds.audio_prompt, Bucket::AudioCacheRead),
            (kinds.image_prompt, Bucket::ImagePrompt),
        ];
        all.into_iter().filter(|(may, _)| *may).map(|(_, bucket)| bucket)
    }

    fn completion_kinds(&self) -> impl Iterator<Item = Bucket> + use<> {
        let kinds = self.kinds;
        let all = [
            (true, Bucket::Completion),
            (true, Bucket::Reasoning),
            (kinds.audio_completion, Bucket::AudioCompletion),
            (kinds.image_completion, Bucket::ImageCompletion),
        ];
        all.into_iter().filter(|(may, _)| *may).map(|(_, bucket)| bucket)
    }
}

/// How much of the worst case is held while a call runs.
///
/// Holding all of it would let one call with a huge `max_tokens` fill a budget that it will hardly touch, and refuse everyone else
/// (cost bug C18). What a call takes beyond what was held is counted and reported as overshoot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldPolicy {
    slack_bps: u32,
    most: Option<Pico>,
    usual_completion: Option<u64>,
}

impl HoldPolicy {
    /// Five percent more tokens than estimated, and no cap: the whole worst case is held.
    pub const DEFAULT: Self = Self {
        slack_bps: 500,
        most: None,
        usual_completion: None,
    };

    /// Sets how many more tokens than estimated are taken to be possible, in basis points: tokenizers differ.
    #[must_use]
    pub const fn with_slack_bps(mut self, bps: u32) -> Self {
        self.slack_bps = bps;
        self
    }

    /// Sets the most that is held for one call.
    #[must_use]
    pub const fn with_most(mut self, most: Pico) -> Self {
        self.most = Some(most);
        self
    }

    /// Sets how long nearly all answers are, such as [`OutputLengths::p95`]. More tokens than this are not held for.
    #[must_use]
    pub const fn with_usual_completion(mut self, tokens: u64) -> Self {
        self.usual_completion = Some(tokens);
        self
    }
}

impl Default for HoldPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The most that a call can be charged, and what of it is held. Both are charges: cost and markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorstCase {
    /// The most it can be. `None` where there is no bound: nobody says how long the answer may be, or the amount is larger than
    /// can be held.
    pub most: Option<Pico>,
    /// What is held while it runs, as a policy says. `None` where there is no bound and no cap either.
    pub held: Option<Pico>,
}

impl WorstCase {
    /// A call that is known to be charged at most this.
    pub const fn known(most: Pico) -> Self {
        Self {
            most: Some(most),
            held: Some(most),
        }
    }

    /// Whether less is held than the call may take.
    pub fn is_capped(&self) -> bool {
        self.held.is_some() && self.held != self.most
    }
}

/// The most that a call can be charged at that time, by the function, the tiers and the markup that it will be priced with.
///
/// Every prompt token is taken to be of the dearest kind the call can have, and so is every token of the answer; a cheaper read
/// from a cache is not counted on. The slack is on the counts, so that it can lift the call into a dearer tier; and where a tier is cheaper
/// than the one below it, the dearest prompt up to the estimate counts. A record of no more tokens of those kinds is never
/// charged more, unless the provider counts tokens both as read from a cache and as written to it
/// ([`Quantities::cache_counts_overlap`]).
///
/// # Errors
/// [`Unpriced`] where something the call can use has no price that is known before. What then happens is the budget's own rule.
pub fn worst_case(
    estimate: &Estimate,
    sheet: &PriceSheet,
    at: UtcTime,
    rule: MarkupRule,
    policy: &HoldPolicy,
) -> Result<WorstCase, Unpriced> {
    let prompt = with_slack(estimate.prompt_tokens, policy.slack_bps);
    let asked = estimate.completion_tokens;
    let charge = |completion: u64| -> Result<Option<Pico>, Unpriced> {
        match dearest(
            estimate,
            sheet,
            at,
            prompt,
            with_slack(completion, policy.slack_bps),
        ) {
            Ok(cost) => Ok(Pico::from_decimal(cost).ok().and_then(|cost| {
                let added = rule.on(cost).ok()?;
                cost.checked_add(added)
            })),
            Err(Unpriced::Overflow) => Ok(None),
            Err(reason) => Err(reason),
        }
    };
    let most = match asked {
        Some(asked) => charge(asked)?,
        // Whether there are prices at all does not depend on the length; one that costs nothing has a bound all the same.
        None => charge(u64::from(u32::MAX))?.filter(|most| charge(0).is_ok_and(|least| least == Some(*most))),
    };
    let usual = match (asked, policy.usual_completion) {
        (Some(asked), Some(usual)) => charge(asked.min(usual))?,
        (None, Some(usual)) => charge(usual)?,
        (_, None) => most,
    };
    let held = match (usual, policy.most) {
        (Some(usual), Some(cap)) => Some(usual.min(cap)),
        (known, cap) => known.or(cap),
    };
    Ok(WorstCase { most, held })
}

/// The dearest call of at most so many tokens.
fn dearest(
    estimate: &Estimate,
    sheet: &PriceSheet,
    at: UtcTime,
    prompt: u64,
    completion: u64,
) -> Result<Decimal, Unpriced> {
    // Within a tier more tokens cost more, so each tier is dearest at its last token.
    let ends = sheet
        .overrides()
        .iter()
        .filter_map(|entry| entry.min_prompt_tokens);
    let ends = ends.filter(|end| *end < prompt).chain(std::iter::once(prompt));
    let mut most = Decimal::ZERO;
    for prompt in ends {
        for prompt_kind in estimate.prompt_kinds() {
            for completion_kind in estimate.completion_kinds() {
                let mut quantities = Quantities::of_tokens(prompt, completion);
                quantities.set(Bucket::UncachedPrompt, 0);
                quantities.set(Bucket::Completion, 0);
                quantities.set(prompt_kind, prompt);
                quantities.set(completion_kind, completion);
                quantities.set(Bucket::WebSearch, estimate.searches);
                most = most.max(sheet.cost(&quantities, at)?.total());
            }
        }
    }
    Ok(most)
}

/// Rounded up.
fn with_slack(tokens: u64, bps: u32) -> u64 {
    let slack = (u128::from(tokens) * u128::from(bps)).div_ceil(WHOLE_BPS);
    u64::try_from(u128::from(tokens) + slack).unwrap_or(u64::MAX)
}

/// How long the answers of one model, or of one task, have been: enough to say how long nearly all of them are.
///
/// It takes 2 KiB whatever it has seen. Lengths are kept to within an eighth, rounded up; after some thousands of answers the
/// older ones count half, so that it follows a change of habits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLengths {
    counts: Box<[u32; Self::CLASSES]>,
    seen: u32,
}

impl OutputLengths {
    /// Eight classes for each doubling.
    const CLASSES: usize = 64 * 8;

    /// Fewer answers than this say nothing about the longest twentieth.
    const LEAST: u32 = 40;

    /// At so many the older ones are halved.
    const HALVED_AT: u32 = 4_096;

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            counts: Box::new([0; Self::CLASSES]),
            seen: 0,
        }
    }

    /// Takes note of an answer of so many tokens.
    pub fn see(&mut self, completion_tokens: u64) {
        if let Some(count) = self.counts.get_mut(Self::class(completion_tokens)) {
            *count += 1;
            self.seen += 1;
        }
        if self.seen >= Self::HALVED_AT {
            for count in self.counts.iter_mut() {
                *count /= 2;
            }
            self.seen = self.counts.iter().sum();
        }
    }

    /// A length that 95 of 100 answers did not pass. `None` before forty answers were seen.
    pub fn p95(&self) -> Option<u64> {
        if self.seen < Self::LEAST {
            return None;
        }
        let wanted = (u64::from(self.seen) * 95).div_ceil(100);
        let mut sum = 0;
        let class = self.counts.iter().position(|count| {
            sum += u64::from(*count);
            sum >= wanted
        })?;
        Some(Self::longest(class))
    }

    fn class(tokens: u64) -> usize {
        if tokens < 16 {
            return usize::try_from(tokens).unwrap_or_default();
        }
        let power = tokens.ilog2();
        let eighth = usize::try_from(tokens >> (power - 3) & 7).unwrap_or_default();
        usize::try_from(power - 2).unwrap_or_default() * 8 + eighth
    }

    fn longest(class: usize) -> u64 {
        let class = u64::try_from(class).unwrap_or(u64::MAX);
        if class < 16 {
            return class;
        }
        let (power, eighth) = (class / 8 + 2, class % 8);
        let next = u128::from(9 + eighth) << (power - 3);
        u64::try_from(next - 1).unwrap_or(u64::MAX)
    }
}

impl Default for OutputLengths {
    fn default() -> Self {
        Self::new()
    }
}

//! What a price is asked for, and the prices of one moment.

use std::fmt;

use rust_decimal::Decimal;

/// A price of a model, by the name it has in OpenRouter's `pricing` objects. All are US dollars per unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PriceKey {
    /// Per prompt token.
    Prompt,
    /// Per completion token.
    Completion,
    /// Per request.
    Request,
    /// Per image token of the prompt; older lists: per image.
    Image,
    /// Per image token of the completion; older lists: per image.
    ImageOutput,
    /// Per image token of the prompt.
    ImageToken,
    /// Per audio token of the prompt.
    Audio,
    /// Per audio token of the completion.
    AudioOutput,
    /// Per audio token of the prompt read from a cache.
    InputAudioCache,
    /// Per web search the upstream ran itself.
    WebSearch,
    /// Per reasoning token; these are part of the completion.
    InternalReasoning,
    /// Per prompt token read from a cache.
    InputCacheRead,
    /// Per prompt token written to a cache, for as long as the provider keeps it by default.
    InputCacheWrite,
    /// Per prompt token written to a cache for an hour.
    InputCacheWrite1h,
}

impl PriceKey {
    pub(crate) const COUNT: usize = 14;

    /// Every key this release prices by.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Prompt,
        Self::Completion,
        Self::Request,
        Self::Image,
        Self::ImageOutput,
        Self::ImageToken,
        Self::Audio,
        Self::AudioOutput,
        Self::InputAudioCache,
        Self::WebSearch,
        Self::InternalReasoning,
        Self::InputCacheRead,
        Self::InputCacheWrite,
        Self::InputCacheWrite1h,
    ];

    /// The name in a `pricing` object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Completion => "completion",
            Self::Request => "request",
            Self::Image => "image",
            Self::ImageOutput => "image_output",
            Self::ImageToken => "image_token",
            Self::Audio => "audio",
            Self::AudioOutput => "audio_output",
            Self::InputAudioCache => "input_audio_cache",
            Self::WebSearch => "web_search",
            Self::InternalReasoning => "internal_reasoning",
            Self::InputCacheRead => "input_cache_read",
            Self::InputCacheWrite => "input_cache_write",
            Self::InputCacheWrite1h => "input_cache_write_1h",
        }
    }

    /// The key of this name, if this release knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == name)
    }

    /// The largest price taken for real. A token for more than a dollar is a price per million tokens in the wrong place.
    pub(crate) fn limit(self) -> Decimal {
        match self {
            Self::Request | Self::WebSearch | Self::Image | Self::ImageOutput => Decimal::ONE_THOUSAND,
            _ => Decimal::ONE,
        }
    }

    /// The price this one may merely repeat. Where a list gives both the same and an override changes only the other, the
    /// repetition goes along: the long-prompt price of a completion is the price of the reasoning in it, too.
    pub(crate) const fn repeats(self) -> Option<Self> {
        match self {
            Self::InternalReasoning => Some(Self::Completion),
            Self::Image | Self::ImageToken | Self::Audio => Some(Self::Prompt),
            Self::InputAudioCache => Some(Self::InputCacheRead),
            Self::AudioOutput | Self::ImageOutput => Some(Self::Completion),
            _ => None,
        }
    }
}

impl fmt::Display for PriceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a list says about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// US dollars per unit.
    Fixed(Decimal),
    /// It depends on what the request turns out to be.
    Dynamic,
    /// US dollars per image, while usage counts tokens.
    PerImage(Decimal),
}

/// The prices of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rates([Option<Rate>; PriceKey::COUNT]);

impl Rates {
    pub(crate) fn get(&self, key: PriceKey) -> Option<Rate> {
        self.0[key as usize]
    }

    pub(crate) fn set(&mut self, key: PriceKey, rate: Rate) {
        self.0[key as usize] = Some(rate);
    }

    pub(crate) fn fixed(&self, key: PriceKey) -> Option<Decimal> {
        match self.get(key)? {
            Rate::Fixed(price) => Some(price),
            Rate::Dynamic | Rate::PerImage(_) => None,
        }
    }

    /// Puts `other`'s prices over these, key by key.
    pub(crate) fn overlay(&mut self, other: &Self) {
        for (place, rate) in self.0.iter_mut().zip(other.0) {
            if rate.is_some() {
                *place = rate;
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Rate> {
        self.0.into_iter().flatten()
    }
}

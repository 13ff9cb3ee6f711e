//! What a client or a model can do, as a small set.

use std::fmt;
use std::str::FromStr;

use crate::text::printable;

/// A declared, testable ability of a client or of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Capability {
    /// Audio as input.
    AudioInput,
    /// Audio as output.
    AudioOutput,
    /// Chat completions.
    Chat,
    /// Vectors for texts.
    Embeddings,
    /// Files (PDF and the like) as input.
    FileInput,
    /// Images as output.
    ImageOutput,
    /// Output that is some JSON object.
    JsonMode,
    /// Output that follows a JSON schema.
    JsonSchema,
    /// Log-probabilities of output tokens.
    Logprobs,
    /// Reasoning before the answer, with an effort that can be set.
    Reasoning,
    /// A seed for repeatable sampling.
    Seed,
    /// Answers that arrive piece by piece.
    Streaming,
    /// Text as output.
    TextOutput,
    /// Function tools.
    Tools,
    /// Video as input.
    VideoInput,
    /// Images as input.
    Vision,
    /// Search of the web by the provider.
    WebSearch,
}

const ALL: [(Capability, &str); 17] = [
    (Capability::AudioInput, "audio-input"),
    (Capability::AudioOutput, "audio-output"),
    (Capability::Chat, "chat"),
    (Capability::Embeddings, "embeddings"),
    (Capability::FileInput, "file-input"),
    (Capability::ImageOutput, "image-output"),
    (Capability::JsonMode, "json-mode"),
    (Capability::JsonSchema, "json-schema"),
    (Capability::Logprobs, "logprobs"),
    (Capability::Reasoning, "reasoning"),
    (Capability::Seed, "seed"),
    (Capability::Streaming, "streaming"),
    (Capability::TextOutput, "text-output"),
    (Capability::Tools, "tools"),
    (Capability::VideoInput, "video-input"),
    (Capability::Vision, "vision"),
    (Capability::WebSearch, "web-search"),
];

impl Capability {
    /// Every capability, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(capability, _)| *capability)
    }

    /// The name used on command lines and in requests, such as `json-schema`.
    pub fn as_str(self) -> &'static str {
        ALL.iter()
            .find(|(capability, _)| *capability == self)
            .map_or("", |(_, name)| name)
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no capability. Its message repeats the start of the word, made printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a capability; the capabilities are {names}", names = names())]
pub struct UnknownCapability(String);

fn names() -> String {
    ALL.map(|(_, name)| name).join(", ")
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        ALL.iter()
            .find(|(_, name)| *name == word)
            .map(|(capability, _)| *capability)
            .ok_or_else(|| UnknownCapability(printable(word.to_owned(), 64)))
    }
}

/// A set of capabilities, one machine word.
///
/// ```
/// use integration_core::{Capability, CapabilitySet};
/// let model: CapabilitySet = [Capability::Tools, Capability::Vision].into_iter().collect();
/// let need = CapabilitySet::of(Capability::Tools);
/// assert!(model.contains_all(need));
/// assert_eq!(need.missing_from(CapabilitySet::EMPTY).to_string(), "tools");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CapabilitySet(u32);

impl CapabilitySet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// The set of one capability.
    pub const fn of(capability: Capability) -> Self {
        Self(capability.bit())
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability.bit())
    }

    /// Everything in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the capability is in the set.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// Whether everything in `needs` is in this set.
    pub const fn contains_all(self, needs: Self) -> bool {
        self.0 & needs.0 == needs.0
    }

    /// What of this set `offered` lacks.
    #[must_use]
    pub const fn missing_from(self, offered: Self) -> Self {
        Self(self.0 & !offered.0)
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in order of name.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::all().filter(move |capability| self.contains(*capability))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(iter: I) -> Self {
        iter.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// The names, separated by a comma and a space.
impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, capability) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(capability.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

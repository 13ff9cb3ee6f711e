//! The class of service a request was served in, by which some providers have other prices.

use std::fmt;

/// A class of service. The same model has other prices in another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ServiceTier {
    /// The usual one. Providers call it `default`, `standard` or `auto`, or say nothing.
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Faster and dearer; `fast` is another word for it.
    Priority,
    /// The fastest.
    Ultrafast,
    /// Answered within a day. Lists have it as a variant of the model, `a/b:batch`.
    Batch,
    /// A word this release does not know, in lower case.
    Other(String),
}

impl ServiceTier {
    /// The word for it in records and reports.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Ultrafast => "ultrafast",
            Self::Batch => "batch",
            Self::Other(word) => word,
        }
    }

    /// The tier a request is billed by: the one the answer says served it; the one that was asked for where the answer does not
    /// say; else the usual one. A request for a cheap tier that was served by another costs what the other costs.
    pub fn billed(requested: Option<&str>, served: Option<&str>) -> Self {
        served.or(requested).map_or(Self::Standard, Self::from)
    }
}

/// The word of a request or an answer, in any case.
impl From<&str> for ServiceTier {
    fn from(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "" | "default" | "standard" | "auto" => Self::Standard,
            "flex" => Self::Flex,
            "priority" | "fast" => Self::Priority,
            "ultrafast" => Self::Ultrafast,
            "batch" => Self::Batch,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for ServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

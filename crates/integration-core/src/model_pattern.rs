//! Models by a pattern.

use std::fmt;
use std::str::FromStr;

use crate::ModelId;

/// A text that is no pattern for models.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pattern; write `author/model`, `author/*`, `*:variant` or `*`")]
pub struct InvalidModelPattern(pub String);

/// Which models are meant: those a rule is for, or a caller allows. Not exhaustive.
///
/// ```
/// use integration_core::ModelPattern;
/// let free: ModelPattern = "*:free".parse()?;
/// assert!(free.matches(&"acme/swift:free".parse()?) && !free.matches(&"acme/swift".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelPattern {
    /// Every model (`*`).
    Any,
    /// The models of one author (`author/*`), with and without a variant.
    Author(String),
    /// The models with this variant among their suffixes (`*:free`), so `a/b:free` and `a/b:free:nitro` alike.
    Variant(String),
    /// The model of exactly this id.
    Exact(ModelId),
}

impl ModelPattern {
    /// Whether a model is meant.
    pub fn matches(&self, model: &ModelId) -> bool {
        match self {
            Self::Any => true,
            Self::Author(author) => model.author() == Some(author),
            Self::Variant(variant) => model.as_str().split(':').skip(1).any(|suffix| suffix == variant),
            Self::Exact(id) => id == model,
        }
    }
}

impl FromStr for ModelPattern {
    type Err = InvalidModelPattern;

    fn from_str(text: &str) -> Result<Self, InvalidModelPattern> {
        let plain = |part: &str| !part.is_empty() && !part.contains(['*', ':', '/']);
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(author) = text.strip_suffix("/*").filter(|author| plain(author)) {
            return Ok(Self::Author(author.to_owned()));
        }
        if let Some(variant) = text.strip_prefix("*:").filter(|variant| plain(variant)) {
            return Ok(Self::Variant(variant.to_owned()));
        }
        match text.parse() {
            Ok(id) if !text.contains('*') => Ok(Self::Exact(id)),
            _ => Err(InvalidModelPattern(text.to_owned())),
        }
    }
}

impl From<ModelId> for ModelPattern {
    fn from(id: ModelId) -> Self {
        Self::Exact(id)
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Author(author) => write!(f, "{author}/*"),
            Self::Variant(variant) => write!(f, "*:{variant}"),
            Self::Exact(id) => fmt::Display::fmt(id, f),
        }
    }
}

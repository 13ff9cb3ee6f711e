//! Names of things: cheap to clone, never empty, printable.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::is_invisible_mark;

/// The longest id accepted, in bytes. Real model ids are under 100.
const MAX_ID_BYTES: usize = 256;

/// Why a string is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The string is empty; where spaces are allowed, it is nothing but spaces.
    #[error("the name is empty")]
    Empty,
    /// The string is longer than 256 bytes.
    #[error("the name is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// The string holds white space, a control character or an invisible mark. Names of upstreams may hold plain spaces.
    #[error("the name holds a space, a control character or an invisible mark")]
    Unprintable,
}

fn validate(text: &str, spaces: bool) -> Result<(), InvalidId> {
    if text.is_empty() || (spaces && text.trim().is_empty()) {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong);
    }
    // Every real name ends here; the rest is for the others.
    if text
        .bytes()
        .all(|b| b.is_ascii_graphic() || (spaces && b == b' '))
    {
        return Ok(());
    }
    let refused =
        |c: char| c.is_control() || (c.is_whitespace() && !(spaces && c == ' ')) || is_invisible_mark(c);
    if text.chars().any(refused) {
        return Err(InvalidId::Unprintable);
    }
    Ok(())
}

macro_rules! string_id {
    ($(#[$meta:meta])* $name:ident, spaces = $spaces:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name.
            ///
            /// # Errors
            /// [`InvalidId`] if it is empty, over 256 bytes, or not printable.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                validate(text, $spaces)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Self::new(&*text).map_err(serde::de::Error::custom)
            }
        }
    };
}

string_id! {
    /// A service under one account and wire dialect, such as `openrouter`.
    ProviderId, spaces = false
}
string_id! {
    /// A model as a caller names it, such as `openai/gpt-4o` or `anthropic/claude-opus-5:batch`.
    ModelId, spaces = false
}
string_id! {
    /// Who served the tokens behind an aggregator, by the name the answer carries (`Amazon Bedrock`).
    UpstreamName, spaces = true
}
string_id! {
    /// The provider's own name for one generation, by which its cost can be asked for later.
    GenerationId, spaces = false
}
string_id! {
    /// One caller's call, minted by the server. All attempts of a call share it.
    RequestId, spaces = false
}

impl ModelId {
    /// The author, the part before the first `/`; `None` where there is none or it is empty.
    pub fn author(&self) -> Option<&str> {
        self.0
            .split_once('/')
            .map(|(author, _)| author)
            .filter(|author| !author.is_empty())
    }

    /// The variant, the part after the first `:`, such as `free` or `batch`; `None` where there is none or it is empty.
    pub fn variant(&self) -> Option<&str> {
        self.0
            .split_once(':')
            .map(|(_, variant)| variant)
            .filter(|variant| !variant.is_empty())
    }
}

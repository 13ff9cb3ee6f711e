//! Credentials that cannot be printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// Why a string is not usable as a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecret {
    /// Nothing but white space.
    #[error("the credential is empty")]
    Empty,
    /// A byte that no header may carry: a control character, a space inside, or one outside ASCII.
    #[error("the credential holds a character that is not visible ASCII")]
    NotVisibleAscii,
}

/// A credential: wiped from memory on drop, absent from every `Debug`, not serialisable.
///
/// ```
/// let key = integration_core::Secret::new("sk-or-v1-0123")?;
/// assert_eq!(format!("{key:?}"), "Secret([redacted])");
/// # Ok::<(), integration_core::InvalidSecret>(())
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a credential that can be sent as a header value. White space around it (a newline from a file or a
    /// variable) is removed.
    ///
    /// # Errors
    /// [`InvalidSecret`] if nothing is left, or a character is not visible ASCII.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidSecret> {
        let text = text.as_ref().trim();
        if text.is_empty() {
            return Err(InvalidSecret::Empty);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidSecret::NotVisibleAscii);
        }
        Ok(Self(SecretString::from(text.to_owned())))
    }

    /// The credential itself. Call it only where the bytes leave for the provider.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

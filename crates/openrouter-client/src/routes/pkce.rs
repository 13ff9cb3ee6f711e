//! Sign-in with PKCE: a user of OpenRouter lets a program have a key of theirs, without the program ever seeing a password.
//!
//! 1. [`Pkce::from_random`] with 32 random bytes; keep it until step 4.
//! 2. Send the user to [`AuthUrl::url`].
//! 3. OpenRouter leads them back to the callback, with `?code=…`; a code holds ten minutes and once.
//! 4. [`OpenRouterClient::exchange_code`] turns it into a key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_transport::Method;
use integration_core::{Error, ErrorKind, Result, Secret};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::keys::LimitReset;
use super::query::Data;
use crate::OpenRouterClient;
use crate::wire::fields::{number, open_enum, refused};

open_enum! {
    /// How a challenge is made of a verifier.
    pub enum ChallengeMethod {
        /// By SHA-256. The one to use.
        S256 = "S256",
        /// It is the verifier: no protection if the first request is overheard.
        Plain = "plain",
    }
}

/// Why a text is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidVerifier {
    /// Shorter than 43 or longer than 128 characters.
    #[error("a verifier has 43 to 128 characters")]
    Length,
    /// A character other than letters, digits and `-._~`.
    #[error("a verifier holds letters, digits and -._~ only")]
    Character,
}

/// A secret that shows, at the end of a sign-in, that who asks for the key is who began it. `Debug` does not show it.
#[derive(Clone)]
pub struct Pkce {
    verifier: Secret,
}

impl Pkce {
    /// Makes a verifier of 32 bytes, which must come from a cryptographic source of randomness: whoever can guess them can take
    /// the key.
    ///
    /// # Errors
    /// None in practice: 32 bytes always make 43 characters that fit.
    pub fn from_random(bytes: [u8; 32]) -> Result<Self, InvalidVerifier> {
        Self::from_verifier(&URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Takes a verifier that was kept since the sign-in began.
    ///
    /// # Errors
    /// [`InvalidVerifier`] if it is none by RFC 7636.
    pub fn from_verifier(verifier: &str) -> Result<Self, InvalidVerifier> {
        if !(43..=128).contains(&verifier.len()) {
            return Err(InvalidVerifier::Length);
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !verifier.bytes().all(fits) {
            return Err(InvalidVerifier::Character);
        }
        let verifier = Secret::new(verifier).map_err(|_| InvalidVerifier::Character)?;
        Ok(Self { verifier })
    }

    /// The secret itself, to be kept where only this program reads it.
    pub fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// What is shown to everyone: the SHA-256 of the verifier.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()))
    }
}

impl fmt::Debug for Pkce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkce").finish_non_exhaustive()
    }
}

/// Where the user signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthUrl {
    page: String,
    pairs: Vec<(&'static str, String)>,
}

impl AuthUrl {
    /// A sign-in that leads back to `callback_url`: an `https` address, or one of this machine. The state, if any, is to be
    /// checked there.
    pub fn new(pkce: &Pkce, callback_url: impl Into<String>) -> Self {
        let mut out = Self::with_code_on_screen(pkce);
        out.pairs.insert(0, ("callback_url", callback_url.into()));
        out
    }

    /// A sign-in without a callback: the code is shown on the screen, for the user to copy.
    pub fn with_code_on_screen(pkce: &Pkce) -> Self {
        Self {
            page: "https://openrouter.ai/auth".to_owned(),
            pairs: vec![
                ("code_challenge", pkce.challenge()),
                ("code_challenge_method", ChallengeMethod::S256.to_string()),
            ],
        }
    }

    /// Sets another page than OpenRouter's own, such as a regional one.
    #[must_use]
    pub fn at(mut self, page: impl Into<String>) -> Self {
        self.page = page.into();
        self
    }

    /// Sets the name of the key that will be made.
    #[must_use]
    pub fn with_key_label(mut self, label: impl Into<String>) -> Self {
        self.pairs.push(("key_label", label.into()));
        self
    }

    /// Sets a text that comes back with the code, to tell one's own sign-ins from foreign ones.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<String>) -> Self {
        self.pairs.push(("state", state.into()));
        self
    }

    /// Sets the workspace the key will belong to.
    #[must_use]
    pub fn with_workspace_id(mut self, id: impl Into<String>) -> Self {
        self.pairs.push(("workspace_id", id.into()));
        self
    }

    /// The address to send the user to.
    pub fn url(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.pairs)
            .finish();
        format!("{}?{query}", self.page.trim_end_matches('?'))
    }
}

/// A key that a user let the program have. `Debug` does not show it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GrantedKey {
    /// The key.
    pub key: Secret,
    /// Whose it is.
    pub user_id: Option<String>,
}

/// A code to be made by a server that has a key already, without a browser.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct NewAuthCode {
    /// Where it would lead back to.
    pub callback_url: String,
    /// [`Pkce::challenge`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// How that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_challenge_method: Option<ChallengeMethod>,
    /// The most the key may spend, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "number")]
    pub limit: Option<Decimal>,
    /// How often that starts anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_limit_type: Option<LimitReset>,
    /// When the key ends, as RFC 3339 in UTC with seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The key's name, at most 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_label: Option<String>,
    /// The workspace it will belong to, a UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl NewAuthCode {
    /// A code for a sign-in with this verifier.
    pub fn new(pkce: &Pkce, callback_url: impl Into<String>) -> Self {
        Self {
            callback_url: callback_url.into(),
            code_challenge: Some(pkce.challenge()),
            code_challenge_method: Some(ChallengeMethod::S256),
            limit: None,
            usage_limit_type: None,
            expires_at: None,
            key_label: None,
            workspace_id: None,
            extra: Map::new(),
        }
    }

    /// Sets the most the key may spend, in US dollars, and how often that starts anew.
    #[must_use]
    pub fn with_limit(mut self, usd: Decimal, reset: Option<LimitReset>) -> Self {
        self.limit = Some(usd);
        self.usage_limit_type = reset;
        self
    }

    /// Sets the key's name.
    #[must_use]
    pub fn with_key_label(mut self, label: impl Into<String>) -> Self {
        self.key_label = Some(label.into());
        self
    }
}

/// A code that was made. `Debug` does not show it: it is as good as a key for ten minutes.
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct AuthCode {
    /// The code.
    pub id: String,
    /// The application it was made for.
    #[serde(default)]
    pub app_id: Option<i64>,
    /// When, as RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl fmt::Debug for AuthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthCode")
            .field("app_id", &self.app_id)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

impl OpenRouterClient {
    /// `POST /auth/keys`: turns a code into a key. Works without a key of one's own.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] for a code that is wrong, used or over, or a verifier that does not fit; otherwise as for
    /// every call.
    pub async fn exchange_code(&self, code: &str, pkce: &Pkce) -> Result<GrantedKey> {
        #[derive(Serialize)]
        struct Exchange<'a> {
            code: &'a str,
            code_verifier: &'a str,
            code_challenge_method: ChallengeMethod,
        }
        #[derive(Deserialize)]
        struct Answer {
            key: String,
            #[serde(default)]
            user_id: Option<String>,
        }
        if code.is_empty() {
            return Err(self.inner.named(refused("the code of the sign-in is empty")));
        }
        let exchange = Exchange {
            code,
            code_verifier: pkce.verifier.expose(),
            code_challenge_method: ChallengeMethod::S256,
        };
        let answer: Answer = self
            .change(Method::POST, "auth/keys", Some(&exchange), "the granted key")
            .await?;
        let key = Secret::new(answer.key).map_err(|error| {
            self.inner.named(Error::new(
                ErrorKind::Protocol,
                format!("the granted key is none: {error}"),
            ))
        })?;
        Ok(GrantedKey {
            key,
            user_id: answer.user_id,
        })
    }

    /// `POST /auth/keys/code`: makes a code for the owner of this client's key, without a browser.
    ///
    /// # Errors
    /// As for every call.
    pub async fn create_auth_code(&self, new: &NewAuthCode) -> Result<AuthCode> {
        let found: Data<AuthCode> = self
            .change(Method::POST, "auth/keys/code", Some(new), "the code")
            .await?;
        Ok(found.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636, appendix B.
        let pkce = Pkce::from_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
        assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let octets = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105,
            214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        assert_eq!(Pkce::from_random(octets).unwrap().challenge(), pkce.challenge());
        assert!(!format!("{pkce:?}").contains("dBjf"));
    }

    #[test]
    fn verifiers_are_checked() {
        let of = |text: &str| Pkce::from_verifier(text).err();
        assert_eq!(of(&"a".repeat(42)), Some(InvalidVerifier::Length));
        assert_eq!(of(&"a".repeat(129)), Some(InvalidVerifier::Length));
        assert_eq!(of(&"a".repeat(128)), None);
        assert_eq!(of(&"ä".repeat(43)), Some(InvalidVerifier::Character));
        assert_eq!(of(&"a b".repeat(20)), Some(InvalidVerifier::Character));
    }

    #[test]
    fn the_address_holds_every_pair_encoded() {
        let pkce = Pkce::from_random([7; 32]).unwrap();
        let url = AuthUrl::new(&pkce, "http://localhost:3000/cb?x=1&y=2")
            .with_key_label("my app")
            .with_state("s&t")
            .with_workspace_id("w")
            .url();
        let (page, query) = url.split_once('?').unwrap();
        assert_eq!(page, "https://openrouter.ai/auth");
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let value = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(value("callback_url"), Some("http://localhost:3000/cb?x=1&y=2"));
        assert_eq!(
            (value("state"), value("key_label")),
            (Some("s&t"), Some("my app"))
        );
        assert_eq!(value("code_challenge"), Some(pkce.challenge().as_str()));
        assert_eq!((value("code_challenge_method"), pairs.len()), (Some("S256"), 6));
        assert!(!url.contains(pkce.verifier().expose()));
        let shown = AuthUrl::with_code_on_screen(&pkce)
            .at("https://eu.example/auth")
            .url();
        assert!(
            shown.starts_with("https://eu.example/auth?code_challenge="),
            "{shown}"
        );
    }
}

//! What the client is set up with.

use std::fmt;

use http_transport::retry::RetryPolicy;
use http_transport::{Limits, Timeouts};
use integration_core::{InvalidSecret, ProviderId, Secret};

/// Where Acme is: the address that routes such as `chat/completions` are put behind.
pub const DEFAULT_BASE_URL: &str = "https://api.acme.example/v1";

/// Why a configuration could not be read from variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no key.
    #[error("ACME_API_KEY is not set: set it to a key of your account at Acme")]
    MissingKey,
    /// The key holds something that no key holds.
    #[error("ACME_API_KEY is not a key: {0}")]
    InvalidKey(#[from] InvalidSecret),
}

/// What the client is set up with. `Debug` does not show the key.
///
/// Values that cannot be used (an address, a proxy) are reported when the client is made.
#[derive(Clone)]
pub struct Config {
    pub(crate) id: Option<ProviderId>,
    pub(crate) key: Option<Secret>,
    pub(crate) base_url: String,
    pub(crate) plain_http: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) retry: RetryPolicy,
    pub(crate) proxy: Option<String>,
}

impl Config {
    /// Acme at its usual address, with a key.
    pub fn new(api_key: Secret) -> Self {
        Self {
            key: Some(api_key),
            ..Self::without_key()
        }
    }

    /// Without a key: for a server of one's own that asks for none.
    pub fn without_key() -> Self {
        Self {
            id: None,
            key: None,
            base_url: DEFAULT_BASE_URL.to_owned(),
            plain_http: false,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            retry: RetryPolicy::standard(),
            proxy: None,
        }
    }

    /// Reads `ACME_API_KEY` and, where it is set, `ACME_BASE_URL` through a lookup function. An empty value counts as absent.
    ///
    /// ```
    /// use acme_client::{Config, ConfigError};
    /// let config = Config::from_lookup(|name| (name == "ACME_API_KEY").then(|| "key-1".to_owned()));
    /// assert!(config.is_ok());
    /// assert_eq!(Config::from_lookup(|_| None).err(), Some(ConfigError::MissingKey));
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] if there is no key, or it cannot be one.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let lookup = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let key = lookup("ACME_API_KEY").ok_or(ConfigError::MissingKey)?;
        let mut config = Self::new(Secret::new(key)?);
        if let Some(url) = lookup("ACME_BASE_URL") {
            config.base_url = url;
        }
        Ok(config)
    }

    /// As [`Config::from_lookup`], from the process's environment.
    ///
    /// # Errors
    /// As [`Config::from_lookup`].
    pub fn from_env() -> Result<Self, ConfigError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment, for callers who want it read"
        )]
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Sets the address. Plain `http` only to this machine.
    #[must_use]
    pub fn with_base_url(mut self, url: &str) -> Self {
        self.base_url = url.to_owned();
        self
    }

    /// Allows plain `http` to any host: the key then crosses the network in the clear.
    #[must_use]
    pub fn with_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Sets how long each phase of a call may take.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets how large answers may be.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what is tried again. [`RetryPolicy::standard`] unless set; [`RetryPolicy::None`] behind a router, which has
    /// retries of its own.
    #[must_use]
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets the provider's id; `acme` unless set. For several accounts side by side.
    #[must_use]
    pub fn with_id(mut self, id: ProviderId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sends everything through a proxy. Without this none is used, whatever the environment says.
    #[must_use]
    pub fn with_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Until it is checked the address may hold credentials, before an `@` or in a query.
        let base_url = if self.base_url.contains('@') {
            "[redacted]"
        } else {
            self.base_url.split('?').next().unwrap_or_default()
        };
        f.debug_struct("Config")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("base_url", &base_url)
            .field("plain_http", &self.plain_http)
            .field("timeouts", &self.timeouts)
            .field("limits", &self.limits)
            .field("retry", &self.retry)
            .field("proxy", &self.proxy.as_ref().map(|_| "[configured]"))
            .finish()
    }
}

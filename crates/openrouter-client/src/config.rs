//! What the client is set up with.

use std::fmt;
use std::sync::Arc;

use http_transport::retry::RetryPolicy;
use http_transport::{Limits, Resolve, Timeouts};
use integration_core::{InvalidSecret, ProviderId, Secret};

/// Where OpenRouter is.
pub(crate) const DEFAULT_BASE_URL: &str = "https://openrouter.ai/api/v1";

/// Why a configuration could not be read from variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no key.
    #[error(
        "OPENROUTER_API_KEY is not set: create a key at https://openrouter.ai/settings/keys and set the variable to it"
    )]
    MissingKey,
    /// The key holds something that no key holds.
    #[error("OPENROUTER_API_KEY is not a key: {0}")]
    InvalidKey(#[from] InvalidSecret),
}

/// What the client is set up with. `Debug` does not show the key.
///
/// Values that cannot be used (an address, a header) are reported when the client is made.
#[derive(Clone)]
pub struct Config {
    pub(crate) id: Option<ProviderId>,
    pub(crate) key: Option<Secret>,
    pub(crate) base_url: String,
    pub(crate) plain_http: bool,
    pub(crate) app_name: Option<String>,
    pub(crate) site_url: Option<String>,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) proxy: Option<String>,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) resolver: Option<Arc<dyn Resolve>>,
    pub(crate) retry: RetryPolicy,
    pub(crate) retry_seed: Option<u64>,
}

impl Config {
    /// OpenRouter at its usual address, with a key.
    pub fn new(api_key: Secret) -> Self {
        Self {
            key: Some(api_key),
            ..Self::without_key()
        }
    }

    /// Without a key: enough for the list of models, and for a simulator.
    pub fn without_key() -> Self {
        Self {
            id: None,
            key: None,
            base_url: DEFAULT_BASE_URL.to_owned(),
            plain_http: false,
            app_name: None,
            site_url: None,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            proxy: None,
            root_certificates: Vec::new(),
            resolver: None,
            retry: RetryPolicy::standard(),
            retry_seed: None,
        }
    }

    /// Reads `OPENROUTER_API_KEY`, `OPENROUTER_APP_NAME`, `OPENROUTER_SITE_URL` and `OPENROUTER_BASE_URL` through a lookup
    /// function. An empty value counts as absent.
    ///
    /// ```
    /// use openrouter_client::{Config, ConfigError};
    /// let config = Config::from_lookup(|name| (name == "OPENROUTER_API_KEY").then(|| "sk-or-v1-x".to_owned()));
    /// assert!(config.is_ok());
    /// assert_eq!(Config::from_lookup(|_| None).err(), Some(ConfigError::MissingKey));
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] if there is no key, or it cannot be one.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let lookup = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let mut config = Self::new(Secret::new(
            lookup("OPENROUTER_API_KEY").ok_or(ConfigError::MissingKey)?,
        )?);
        config.app_name = lookup("OPENROUTER_APP_NAME");
        config.site_url = lookup("OPENROUTER_SITE_URL");
        if let Some(url) = lookup("OPENROUTER_BASE_URL") {
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

    /// Sets the address, such as `https://eu.openrouter.ai/api/v1`. Plain `http` only to this machine.
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

    /// Sets the application's name and address, by which OpenRouter attributes the calls.
    #[must_use]
    pub fn with_app(mut self, name: impl Into<String>, site_url: impl Into<String>) -> Self {
        self.app_name = Some(name.into()).filter(|name| !name.is_empty());
        self.site_url = Some(site_url.into()).filter(|url| !url.is_empty());
        self
    }

    /// Sets the provider's id; `openrouter` unless set. For several accounts side by side.
    #[must_use]
    pub fn with_id(mut self, id: ProviderId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sends everything through a proxy, less what goes to this machine itself. Without this none is used, whatever the
    /// environment says.
    #[must_use]
    pub fn with_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Trusts a certificate authority beside the system's own: that of a company whose network opens encrypted connections,
    /// for instance. `pem`: one or more certificates in PEM form. Certificates are always checked.
    #[must_use]
    pub fn with_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Sets who turns host names into addresses; the system unless set. `localhost` is this machine, and is not asked for.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Sets whether calls are made again after a failure, and how often; by [`RetryPolicy::standard`] unless set. The first
    /// attempt of a call is never delayed, and an answer that may have been billed is not asked for a second time unless the
    /// rules allow it; `GET` calls cost nothing and are.
    ///
    /// A caller with retries or fallback of its own sets [`RetryPolicy::None`]: two loops inside one another multiply.
    #[must_use]
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets the seed of the random part of the waits between attempts, so that a run can be repeated. Unless set it is another
    /// one in every process, from the randomness that also seeds the standard library's hash maps
    /// ([`Retrier::new`](http_transport::retry::Retrier::new) is the place).
    #[must_use]
    pub fn with_retry_seed(mut self, seed: u64) -> Self {
        self.retry_seed = Some(seed);
        self
    }

    /// The address.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Whether there is a key.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold credentials until it is checked, so only its part before a query or an `@` is shown.
        let base_url = if self.base_url.contains('@') {
            "[redacted]"
        } else {
            &self.base_url
        };
        f.debug_struct("Config")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("base_url", &base_url.split('?').next())
            .field("plain_http", &self.plain_http)
            .field("app_name", &self.app_name)
            .field("site_url", &self.site_url)
            .field("timeouts", &self.timeouts)
            .field("limits", &self.limits)
            .field("proxy", &self.proxy.as_ref().map(|_| "[configured]"))
            .field("root_certificates", &self.root_certificates.len())
            .field("resolver", &self.resolver)
            .field("retry", &self.retry)
            .field("retry_seed", &self.retry_seed)
            .finish()
    }
}

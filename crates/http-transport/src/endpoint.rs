//! Where requests go.

use std::fmt;
use std::net::IpAddr;

use crate::TransportError;

/// A checked URL. `Display` and `Debug` show neither its query nor a fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(url::Url);

impl Endpoint {
    /// Takes an `https` URL, or an `http` one whose host is this machine (`localhost`, `127.0.0.0/8`, `::1`).
    ///
    /// # Errors
    /// [`TransportError::Config`] if the URL cannot be read, has another scheme, would send credentials in the clear, or
    /// holds a user name or password.
    pub fn new(url: &str) -> Result<Self, TransportError> {
        let endpoint = Self::with_plain_http(url)?;
        if endpoint.is_https() || endpoint.is_loopback() {
            return Ok(endpoint);
        }
        Err(TransportError::config(format!(
            "{endpoint} is not encrypted: use https, or allow plain http for this address explicitly"
        )))
    }

    /// As [`Endpoint::new`], but takes plain `http` to any host: for a server inside one's own network.
    ///
    /// # Errors
    /// As [`Endpoint::new`], less the encryption.
    pub fn with_plain_http(url: &str) -> Result<Self, TransportError> {
        let url = url::Url::parse(url.trim())
            .map_err(|error| TransportError::config(format!("the base URL cannot be read: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TransportError::config(
                "the base URL must not hold a user name or password",
            ));
        }
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(TransportError::config(
                "the base URL must begin with https:// and name a host",
            ));
        }
        Ok(Self(url))
    }

    /// The same address with `path` after its own path, and with `query` where one is given.
    #[must_use]
    pub fn join(&self, path: &str, query: Option<&str>) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!(
            "{}/{}",
            self.0.path().trim_end_matches('/'),
            path.trim_start_matches('/')
        ));
        if query.is_some() {
            url.set_query(query);
        }
        Self(url)
    }

    /// Whether it is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.0.host_str().unwrap_or_default())
    }

    /// The host and, where it is not the scheme's own, the port.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub(crate) fn uri(&self) -> Result<http::Uri, TransportError> {
        // A fragment is for the reader of an answer, not for its server.
        let text = self.0.as_str();
        let text = text.split_once('#').map_or(text, |(text, _)| text);
        text.parse()
            .map_err(|error| TransportError::config(format!("the request cannot be sent: {error}")))
    }
}

/// Whether a host is this machine: `localhost`, or an address of its loopback interface.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), self.host(), self.0.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_only_to_this_machine() {
        for good in [
            "https://openrouter.ai/api/v1",
            "http://127.0.0.1:1/x",
            "http://localhost",
            "http://[::1]:9",
            "http://127.9.9.9",
        ] {
            assert!(Endpoint::new(good).is_ok(), "{good}");
        }
        for bad in [
            "http://openrouter.ai",
            "http://localhost.evil.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "file:///x",
            "x",
            "",
        ] {
            assert!(Endpoint::new(bad).is_err(), "{bad}");
        }
        assert!(Endpoint::with_plain_http("http://10.0.0.1").is_ok());
        assert!(Endpoint::new("https://user:pass@host").is_err());
    }

    #[test]
    fn the_query_is_not_shown() {
        let endpoint = Endpoint::new("https://host:8443/a/?k=v").unwrap();
        let joined = endpoint.join("/models", Some("key=hunter2"));
        assert_eq!(joined.to_string(), "https://host:8443/a/models");
        assert_eq!(format!("{joined:?}"), "Endpoint(https://host:8443/a/models)");
        assert_eq!(joined.uri().unwrap(), "https://host:8443/a/models?key=hunter2");
        assert_eq!(
            endpoint.join("x", None).uri().unwrap(),
            "https://host:8443/a/x?k=v"
        );
    }
}

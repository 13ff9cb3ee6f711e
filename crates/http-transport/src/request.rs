//! What is sent.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use integration_core::Secret;

use crate::{Endpoint, Timeouts, TransportError};

/// The value of an `Authorization` header, marked so that no `Debug` shows it.
///
/// # Errors
/// [`TransportError::Config`] if the secret cannot be a header's value; a [`Secret`] made by its constructor always can.
pub fn bearer(secret: &Secret) -> Result<HeaderValue, TransportError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose()))
        .map_err(|_| TransportError::config("the credential cannot be sent as a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One request. `Debug` shows neither the body nor sensitive headers.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) timeouts: Option<Timeouts>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, endpoint: Endpoint) -> Self {
        Self {
            method,
            endpoint,
            headers: HeaderMap::new(),
            body: None,
            timeouts: None,
        }
    }

    /// A `GET` without a body.
    pub fn get(endpoint: Endpoint) -> Self {
        Self::new(Method::GET, endpoint)
    }

    /// A `POST` with a body.
    pub fn post(endpoint: Endpoint, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, endpoint).with_body(body)
    }

    /// Sets the body. Its `Content-Type` is a header like any other.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets a header, in place of an earlier one of that name. `Host` is the transport's own, whatever is set here.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets all headers.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Sets deadlines in place of the transport's. The connection's own deadline stays the transport's.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("endpoint", &self.endpoint)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("timeouts", &self.timeouts)
            .finish()
    }
}

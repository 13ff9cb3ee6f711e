#![doc = include_str!("../README.md")]

mod clock;
mod config;
mod connection;
pub mod date;
mod deadline;
mod dial;
mod endpoint;
mod error;
mod request;
mod resolve;
mod response;
pub mod retry;
mod socket;
pub mod sse;
mod transport;

pub use clock::SystemClock;
pub use config::{Limits, Timeouts, TransportConfig};
pub use endpoint::Endpoint;
pub use error::{Phase, TransportError};
pub use request::{Request, bearer};
pub use resolve::{Resolve, ResolveError, SystemResolver};
pub use response::{BodyBuffer, EventStream, Response};
pub use transport::Transport;

/// The types of the `http` crate that appear in this crate's signatures.
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

//! The body of `POST /chat/completions`.

use integration_core::{ChatRequest, Error, ErrorKind, Result};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    request: &'a ChatRequest,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The request as JSON, with `stream` as the method called demands. A stream is asked for its usage, which this wire leaves out
/// otherwise.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] if it cannot be written as JSON.
pub fn chat_body(request: &ChatRequest, stream: bool) -> Result<Vec<u8>> {
    // A field given twice is read differently by different readers, so ours must be the only one.
    let ours = |name: &str| name == "stream" || name == "stream_options";
    let cleaned = request.extra.keys().any(|name| ours(name)).then(|| {
        let mut request = request.clone();
        request.extra.retain(|name, _| !ours(name));
        request
    });
    let body = Body {
        request: cleaned.as_ref().unwrap_or(request),
        stream,
        stream_options: stream.then_some(StreamOptions { include_usage: true }),
    };
    serde_json::to_vec(&body).map_err(|error| {
        Error::new(ErrorKind::InvalidRequest, "the request cannot be written as JSON").with_source(error)
    })
}

//! Headers that change what OpenRouter does with a call, for [`CallContext::with_headers`](integration_core::CallContext).

use std::time::Duration;

/// A header's name and value.
pub type Header = (String, String);

fn header(name: &str, value: impl Into<String>) -> Header {
    (name.to_owned(), value.into())
}

/// Has the answer tell how it was routed, in `openrouter_metadata`: who was tried, who answered, and why.
pub fn router_metadata() -> Header {
    header("x-openrouter-metadata", "enabled")
}

/// Answers out of the cache of whole answers where the same request was answered before; nothing is billed then. `ttl`: how
/// long this answer is kept, 1 second to a day; 300 seconds if `None`. Outside that it is brought into it.
pub fn response_cache(ttl: Option<Duration>) -> Vec<Header> {
    let mut headers = vec![header("x-openrouter-cache", "true")];
    if let Some(ttl) = ttl {
        headers.push(header(
            "x-openrouter-cache-ttl",
            ttl.as_secs().clamp(1, 86_400).to_string(),
        ));
    }
    headers
}

/// Answers anew, and keeps the new answer in the cache of whole answers.
pub fn refresh_response_cache() -> Vec<Header> {
    vec![
        header("x-openrouter-cache", "true"),
        header("x-openrouter-cache-clear", "true"),
    ]
}

/// Switches the cache of whole answers off, where a preset switched it on.
pub fn no_response_cache() -> Header {
    header("x-openrouter-cache", "false")
}

/// Features of Anthropic's that are not everyone's yet, such as `interleaved-thinking-2025-05-14`.
pub fn anthropic_beta<S: AsRef<str>>(features: &[S]) -> Header {
    let features: Vec<&str> = features.iter().map(AsRef::as_ref).collect();
    header("x-anthropic-beta", features.join(","))
}

/// The kinds of application this is, at most two, in lower case.
pub fn categories<S: AsRef<str>>(categories: &[S]) -> Header {
    let categories: Vec<&str> = categories.iter().map(AsRef::as_ref).collect();
    header("x-openrouter-categories", categories.join(","))
}

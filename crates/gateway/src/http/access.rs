//! Who may call.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use std::net::IpAddr;
use std::sync::Arc;

use super::ApiError;
use crate::app::App;

/// Lets a caller in, or says why not.
pub(super) async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match admit(&app, request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Whether a caller presents the gateway's key. Without a key the gateway listens on this machine only, and a page in a
/// browser on it is told apart by the names it uses: its own origin, or a host name made to point here.
///
/// # Errors
/// 401 or 403, with what to send.
pub(super) fn admit(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    let refuse = |message: &str| ApiError::new(401, "invalid_api_key", message);
    let Some(key) = &app.settings.admin_key else {
        return from_this_machine(headers, uri);
    };
    let presented: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
    if presented.len() + headers.get_all("x-api-key").iter().count() > 1 {
        return Err(refuse(
            "more than one credential is sent; send one Authorization header",
        ));
    }
    let token = presented.first().and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // Digests of equal length are compared, so that the time taken tells nothing of the key.
    if token.is_some_and(|token| Sha256::digest(token) == Sha256::digest(key.expose())) {
        return Ok(());
    }
    Err(refuse(
        "the API key is missing or wrong; send the value of WAYPOST_ADMIN_KEY as Bearer token",
    ))
}

fn from_this_machine(headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"))
    };
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or("?", |(_, rest)| rest));
    let named = [
        text(header::HOST),
        uri.authority().map(|authority| authority.as_str()),
        origin,
    ];
    if named.into_iter().flatten().all(is_loopback) {
        return Ok(());
    }
    let message = "the request names another host or comes from a web page; without WAYPOST_ADMIN_KEY the gateway serves \
                   only localhost";
    Err(ApiError::new(403, "not_from_this_machine", message))
}

/// Whether `host[:port]` is this machine by a name nobody else can give it.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_names_of_this_machine_count() {
        for name in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:8000",
            "127.1.2.3",
            "[::1]:8000",
            "[::1]",
        ] {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "evil",
            "evil:8000",
            "localhost.evil",
            "10.0.0.1:8000",
            "",
            "?",
            "[::2]:1",
            "localhost:x",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}

//! Who may call.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use costing::Caller;

use std::net::IpAddr;
use std::sync::Arc;

use super::ApiError;
use crate::app::App;
use crate::callers::Identity;

/// Lets a caller in, as who they are, or says why not.
pub(super) async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match admit(&app, request.headers(), request.uri()) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// Who a caller is, by the token it presents. Where none is known the gateway listens on this machine only, everybody is the
/// caller `local`, and a page in a browser on it is told apart by the names it uses: its own origin, or a host name made to point
/// here.
///
/// # Errors
/// 401 or 403, with what to send.
pub(super) fn admit(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<Identity, ApiError> {
    let refuse = |message: &str| ApiError::new(401, "invalid_api_key", message).challenged();
    let callers = &app.settings.callers;
    if callers.is_open() {
        from_this_machine(headers, uri)?;
        return Ok(Identity {
            caller: Caller::local(),
            is_admin: true,
        });
    }
    let presented: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
    if presented.len() + headers.get_all("x-api-key").iter().count() > 1 {
        return Err(refuse(
            "more than one credential is sent; send one Authorization header",
        ));
    }
    let token = presented.first().and_then(|value| token(value.to_str().ok()?));
    let identity = token.and_then(|token| callers.find(&token));
    identity.cloned().ok_or_else(|| {
        refuse("the API key is missing or wrong; send a caller's token, or the value of WAYPOST_ADMIN_KEY, as Bearer token")
    })
}

/// The token of a header: a Bearer token, or the password with which a browser answers when it is asked for one.
fn token(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = base64::engine::general_purpose::STANDARD
        .decode(rest.trim())
        .ok()?;
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(password.to_owned())
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

/// Refuses who is no administrator. `why`: what makes it theirs alone.
pub(super) fn admins_only(identity: &Identity, why: &str) -> Result<(), ApiError> {
    if identity.is_admin {
        return Ok(());
    }
    let message = format!("{why}; send the value of WAYPOST_ADMIN_KEY");
    Err(ApiError::new(403, "not_permitted", message))
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

//! The HTTP side: routes, who may call them, and the server under them.

mod chat;
mod error;
mod health;
mod lists;
mod routing;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sha2::{Digest, Sha256};

pub(crate) use self::chat::{explanation as call_explanation, record as call_record};
pub use self::error::ApiError;
pub(crate) use self::health::{aggregate_json, report_json};
pub use self::server::{ServeError, Server};
use crate::app::App;
use crate::report;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let v1 = Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(lists::models))
        .route("/v1/routing/best-model", get(routing::best_model))
        .route("/v1/embeddings", post(reserved))
        .route("/v1/feedback", post(reserved))
        .route("/v1/reports/costs", get(reserved))
        .route("/v1/experiments", get(reserved))
        .route("/v1/experiments/{name}", get(reserved))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), authenticate));
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/integrations", get(health::integrations))
        .route("/health/integrations/{id}", get(health::integration))
        .route("/metrics", get(reserved))
        .route("/", get(reserved))
        .merge(v1)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), mark_mode))
        .with_state(app)
}

/// Every answer says whether it was simulated.
async fn mark_mode(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    report::set(response.headers_mut(), "x-waypost-mode", app.mode().as_str());
    response
}

/// Lets a caller in who presents the gateway's key. Without one the gateway listens only on this machine.
async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(key) = &app.settings.admin_key else {
        return next.run(request).await;
    };
    let presented = request
        .headers()
        .get_all(header::AUTHORIZATION)
        .iter()
        .collect::<Vec<_>>();
    let token = match presented.as_slice() {
        [one] => one.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        }),
        _ => None,
    };
    // Digests of equal length are compared, so that the time taken tells nothing of the key.
    let admitted = token.is_some_and(|token| Sha256::digest(token) == Sha256::digest(key.expose()));
    if admitted {
        return next.run(request).await;
    }
    ApiError::new(
        401,
        "invalid_api_key",
        "the API key is missing or wrong; send the value of WAYPOST_ADMIN_KEY as Bearer token",
    )
    .into_response()
}

async fn reserved(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        501,
        "not_implemented",
        format!("{method} {} is reserved and not built yet", uri.path()),
    )
}

async fn not_found(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(
        404,
        "unknown_url",
        format!("there is no {method} {path}; the API is under /v1"),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        405,
        "method_not_allowed",
        format!("{} does not take {method}", uri.path()),
    )
}

//! The HTTP side: routes, who may call them, and the server under them.

mod access;
mod budgets;
mod chat;
mod error;
mod experiments;
mod feedback;
mod health;
mod learned;
mod lists;
mod reports;
mod routing;
mod server;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub use self::error::ApiError;
pub use self::server::{ServeError, Server};
use crate::app::{App, mint_request_id};
use crate::report;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let v1 = Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(lists::models))
        .route("/v1/budgets", get(budgets::budgets))
        .route("/v1/routing/best-model", get(routing::best_model))
        .route("/v1/routing/learned", get(learned::list))
        .route("/v1/routing/learned/{name}/labels", post(learned::label))
        .route("/v1/embeddings", post(reserved))
        .route("/v1/feedback", post(feedback::feedback))
        .route("/v1/reports/costs", get(reports::costs))
        .route("/", get(reports::page))
        .route("/v1/experiments", get(experiments::list))
        .route("/v1/experiments/{name}", get(experiments::one))
        .route("/v1/mirrors", get(experiments::mirrors))
        .route("/v1/mirrors/{key}", get(experiments::mirror))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            access::authenticate,
        ));
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/integrations", get(health::integrations))
        .route("/health/integrations/{id}", get(health::integration))
        .route("/metrics", get(reserved))
        .merge(v1)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), mark))
        .with_state(app)
}

/// Every answer says whether it was simulated, and every request has a name that its answer and its errors carry.
async fn mark(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = match mint_request_id() {
        Ok(id) => id,
        Err(error) => return ApiError::new(500, "internal", error.to_string()).into_response(),
    };
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = error.of_request(&id).finish(response);
    }
    report::set(response.headers_mut(), "x-waypost-mode", app.mode().as_str());
    report::set(response.headers_mut(), "x-waypost-request-id", id.as_str());
    response
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

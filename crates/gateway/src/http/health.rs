//! Whether the gateway lives, is ready, and reaches its integrations. Nothing here costs money.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use integration_core::{HealthReport, HealthStatus};
use serde_json::{Value, json};

use super::ApiError;
use super::access::admit;
use crate::app::App;
use crate::report;

/// Alive: the process answers. Never depends on anything outside.
pub(super) async fn live(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "status": HealthStatus::Healthy.as_str(), "mode": app.mode().as_str() }))
}

/// Ready: the ledger takes writes and the gateway is not stopping.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let (status, message) = if app.is_draining() {
        (
            HealthStatus::Unhealthy,
            Some("the gateway is stopping".to_owned()),
        )
    } else {
        match app.store.check().await {
            Ok(()) => (HealthStatus::Healthy, None),
            Err(error) => (
                HealthStatus::Unhealthy,
                Some(format!("the ledger does not answer: {error}")),
            ),
        }
    };
    let body = json!({
        "status": status.as_str(),
        "mode": app.mode().as_str(),
        "message": message,
        "catalogue": report::catalogue(&app.catalogue),
    });
    (code(status), Json(body)).into_response()
}

/// All integrations.
pub(super) async fn integrations(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let mut aggregate = app.upstreams.health_of_all().await;
    aggregate
        .reports
        .iter_mut()
        .for_each(|report| redact(&app, &headers, &uri, report));
    let body = report::health_of_all(app.mode(), &app.catalogue, &aggregate);
    (code(aggregate.status), Json(body)).into_response()
}

/// One integration.
pub(super) async fn integration(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    let Some(mut found) = app.upstreams.health(&id).await else {
        let known: Vec<_> = app.upstreams.ids().map(|id| id.as_str()).collect();
        let message = format!(
            "there is no integration of that name; there is {}",
            known.join(", ")
        );
        return ApiError::new(404, "unknown_integration", message).into_response();
    };
    redact(&app, &headers, &uri, &mut found);
    (
        code(found.status),
        Json(report::health(app.mode(), &app.catalogue, &found)),
    )
        .into_response()
}

/// Whether an integration is up anybody may know; what the account has spent, only who may see everybody's costs.
fn redact(app: &App, headers: &HeaderMap, uri: &Uri, report: &mut HealthReport) {
    if !admit(app, headers, uri).is_ok_and(|identity| identity.is_admin) {
        report.details.clear();
    }
}

fn code(status: HealthStatus) -> StatusCode {
    match status {
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

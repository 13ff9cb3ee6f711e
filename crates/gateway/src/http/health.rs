//! Whether the gateway lives, is ready, and reaches its integrations. Nothing here costs money.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use integration_core::{HealthAggregate, HealthReport, HealthStatus};
use model_catalogue::Catalogue;
use serde_json::{Value, json};

use super::ApiError;
use crate::app::App;
use crate::upstream::Mode;

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
        "catalogue": catalogue(&app.catalogue),
    });
    (code(status), Json(body)).into_response()
}

fn catalogue(catalogue: &Catalogue) -> Value {
    json!({
        "snapshot": catalogue.id(),
        "captured": catalogue.captured(),
        "models": catalogue.records().len(),
    })
}

/// All integrations.
pub(super) async fn integrations(State(app): State<Arc<App>>) -> Response {
    let aggregate = app.upstreams.health_of_all().await;
    (
        code(aggregate.status),
        Json(aggregate_json(app.mode(), &app.catalogue, &aggregate)),
    )
        .into_response()
}

/// The health of all integrations as JSON.
pub(crate) fn aggregate_json(mode: Mode, catalogue: &Catalogue, aggregate: &HealthAggregate) -> Value {
    let reports = aggregate
        .reports
        .iter()
        .map(|report| report_json(mode, catalogue, report));
    json!({
        "status": aggregate.status.as_str(),
        "mode": mode.as_str(),
        "integrations": reports.collect::<Vec<_>>(),
    })
}

/// One integration.
pub(super) async fn integration(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    match app.upstreams.health(&id).await {
        Some(report) => (
            code(report.status),
            Json(report_json(app.mode(), &app.catalogue, &report)),
        )
            .into_response(),
        None => {
            let known: Vec<_> = app.upstreams.ids().map(|id| id.as_str()).collect();
            let message = format!(
                "there is no integration of that name; there is {}",
                known.join(", ")
            );
            ApiError::new(404, "unknown_integration", message).into_response()
        }
    }
}

/// The health of one integration as JSON.
pub(crate) fn report_json(mode: Mode, models: &Catalogue, report: &HealthReport) -> Value {
    let checked_at = jiff::Timestamp::try_from(report.checked_at)
        .ok()
        .map(|at| at.to_string());
    let mut body = json!({
        "id": report.id,
        "status": report.status.as_str(),
        "mode": mode.as_str(),
        "checked_at": checked_at,
        "latency_ms": report.latency.map(|latency| latency.as_millis() as u64),
        "message": report.message,
        "catalogue": catalogue(models),
    });
    if let Some(object) = body.as_object_mut() {
        for (name, value) in &report.details {
            object.entry(name).or_insert_with(|| value.clone());
        }
    }
    body
}

fn code(status: HealthStatus) -> StatusCode {
    match status {
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

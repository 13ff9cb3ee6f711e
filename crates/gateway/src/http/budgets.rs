//! `GET /v1/budgets`: how the budgets stand.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::ApiError;
use crate::app::App;
use crate::callers::Identity;
use crate::spending;

/// All budgets for who may see everybody's costs; for a caller those its calls are under, and those of its users.
pub(super) async fn budgets(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
) -> Response {
    let of = (!identity.is_admin).then_some(&identity.caller);
    let found = app.spending.overview(of, app.utc_now()).await;
    let overshoot = app.spending.store().overshoot().await;
    let (facts, overshoot) = match (found, overshoot) {
        (Ok(facts), Ok(overshoot)) => (facts, overshoot),
        (Err(error), _) | (_, Err(error)) => {
            return ApiError::new(503, "budgets_unavailable", error.to_string()).into_response();
        }
    };
    let mut body = json!({ "budgets": facts.iter().map(spending::facts).collect::<Vec<Value>>() });
    if identity.is_admin {
        body["overshoot"] = json!({
            "calls": overshoot.calls,
            "total_usd": overshoot.total.to_string(),
            "largest_usd": overshoot.largest.to_string(),
        });
    }
    Json(body).into_response()
}

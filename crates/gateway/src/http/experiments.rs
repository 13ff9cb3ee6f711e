//! Experiments over HTTP: what there are, and what came of each.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use experiments::analysis::CONTENT_SECURITY_POLICY;
use serde_json::{Value, json};

use super::ApiError;
use super::access::admins_only;
use crate::app::App;
use crate::callers::Identity;
use crate::experiment::{MirrorResults, Results, definition};

/// An experiment tells of the calls of all callers, so it is for those who may see them.
fn may_see(identity: &Identity) -> Result<(), ApiError> {
    admins_only(identity, "experiments tell of everybody's calls")
}

fn failed(error: &anyhow::Error) -> ApiError {
    tracing::error!("an experiment cannot be analysed: {error:#}");
    ApiError::new(503, "experiment_unavailable", format!("{error:#}"))
}

/// `GET /v1/experiments`: what there are, without an analysis.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Value>, ApiError> {
    may_see(&identity)?;
    let all: Vec<Value> = app
        .settings
        .experiments
        .iter()
        .map(|(experiment, of_gateway)| definition(experiment, of_gateway))
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error))?;
    Ok(Json(json!({ "experiments": all, "mode": app.mode().as_str() })))
}

/// `GET /v1/experiments/{name}?format=json|html`
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    may_see(&identity)?;
    let is_page = match format(query.as_deref().unwrap_or_default())?.as_str() {
        "json" => false,
        "html" => true,
        other => {
            let message = format!("`format` is '{other}'; it may be json or html");
            return Err(ApiError::new(400, "invalid_request", message));
        }
    };
    let Some((experiment, of_gateway)) = app.settings.experiments.get(&name) else {
        let name: String = name.chars().take(64).collect();
        let message = format!("there is no experiment '{name}'; GET /v1/experiments lists those there are");
        return Err(ApiError::new(404, "experiment_not_found", message));
    };
    let since = app.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let results = Results {
        experiment,
        of_gateway,
        as_of_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        simulated: app.upstreams.simulates(),
    };
    let report = results
        .report(&*app.store)
        .await
        .map_err(|error| failed(&error))?;
    if !is_page {
        let mut value = results.json(report.as_ref()).map_err(|error| failed(&error))?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("mode".to_owned(), json!(app.mode().as_str()));
        }
        return Ok(Json(value).into_response());
    }
    let Some(report) = report else {
        let message =
            format!("experiment '{name}' has no [experiment.plan], so there is no analysis to show");
        return Err(ApiError::new(404, "no_plan", message));
    };
    Ok(page(report.to_html(&results.title(), &results.notices())))
}

/// `GET /v1/mirrors`: what came of all of them so far.
pub(super) async fn mirrors(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Value>, ApiError> {
    may_see(&identity)?;
    let mut all = Vec::new();
    for mirror in app.mirrors.iter() {
        let results = MirrorResults::of_running(mirror, &*app.store, app.outcomes.now_ms());
        all.push(results.await.map_err(|error| failed(&error))?);
    }
    Ok(Json(json!({ "mirrors": all, "mode": app.mode().as_str() })))
}

/// `GET /v1/mirrors/{key}`
pub(super) async fn mirror(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
) -> Result<Json<Value>, ApiError> {
    may_see(&identity)?;
    let Some(mirror) = app.mirrors.iter().find(|mirror| mirror.settings.key == key) else {
        let key: String = key.chars().take(64).collect();
        let message = format!("there is no mirror '{key}'; GET /v1/mirrors lists those there are");
        return Err(ApiError::new(404, "mirror_not_found", message));
    };
    let results = MirrorResults::of_running(mirror, &*app.store, app.outcomes.now_ms()).await;
    let results = results.and_then(|results| Ok(serde_json::to_value(results)?));
    let mut value = results.map_err(|error| failed(&error))?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("mode".to_owned(), json!(app.mode().as_str()));
    }
    Ok(Json(value))
}

fn format(query: &str) -> Result<String, ApiError> {
    let mut format = "json".to_owned();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "format" {
            let message = format!("there is no parameter '{name}'; there is `format`");
            return Err(ApiError::new(400, "invalid_request", message));
        }
        format = value.into_owned();
    }
    Ok(format)
}

fn page(text: String) -> Response {
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

//! Cost reports over HTTP, and the first page of the dashboard.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use costing::report::{Period, ReportFormat};
use costing::{LedgerError, UtcTime};

use super::ApiError;
use crate::app::App;
use crate::call::Refused;
use crate::callers::Identity;
use crate::costs::{self, CostFormat, CostQuery, CostSources, CostText, Gathered};

/// `GET /v1/reports/costs?by=model&from=2026-11-01&to=2026-12-01&format=json&top=10&model=openai/gpt-4o`
///
/// Who may not see everybody's costs sees those of its own key.
pub(super) async fn costs(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Response {
    let now = app.utc_now();
    match asked(&app, query.as_deref().unwrap_or_default(), now) {
        Ok(query) => answer(
            app,
            seen_by(&identity, query),
            now,
            |app, gathered, query, now| gathered.write(query, CostSources::of(app, now)),
        )
        .await
        .unwrap_or_else(IntoResponse::into_response),
        Err(refused) => ApiError::from(refused).into_response(),
    }
}

fn seen_by(identity: &Identity, query: CostQuery) -> CostQuery {
    if identity.is_admin {
        query
    } else {
        query.for_key(identity.caller.key.as_str())
    }
}

/// `GET /`: what this month has cost.
pub(super) async fn page(State(app): State<Arc<App>>, Extension(identity): Extension<Identity>) -> Response {
    let now = app.utc_now();
    let period = match Period::month_of(now) {
        Ok(period) => period,
        Err(error) => return ApiError::new(500, "internal", error.to_string()).into_response(),
    };
    let query = seen_by(
        &identity,
        CostQuery::new(period, CostFormat::Report(ReportFormat::Html)),
    );
    answer(app, query, now, move |app, gathered, query, now| {
        // Experiments tell of everybody's calls.
        let experiments = app.settings.experiments.iter();
        let shown = experiments.filter(|(_, of_gateway)| identity.is_admin && of_gateway.plan.is_some());
        let keys = shown.map(|(experiment, _)| experiment.key());
        gathered.page(query, CostSources::of(app, now), app.mode(), keys)
    })
    .await
    .unwrap_or_else(IntoResponse::into_response)
}

fn asked(app: &App, query: &str, now: UtcTime) -> Result<CostQuery, Refused> {
    let words: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let words = words.iter().map(|(name, value)| (&**name, &**value));
    CostQuery::read(words, now, CostFormat::Report(ReportFormat::Json), &app.catalogue)
}

async fn answer(
    app: Arc<App>,
    query: CostQuery,
    now: UtcTime,
    write: impl FnOnce(&App, &Gathered, &CostQuery, UtcTime) -> CostText + Send + 'static,
) -> Result<Response, ApiError> {
    let unavailable = |error: LedgerError| ApiError::new(503, "ledger_unavailable", error.to_string());
    let gathered = costs::gather(&*app.store, &query, CostSources::of(&app, now))
        .await
        .map_err(unavailable)?;
    // Years of sums take a while to add up; other calls do not wait for that.
    let text = tokio::task::spawn_blocking(move || write(&app, &gathered, &query, now)).await;
    let text = text.map_err(|_| ApiError::new(500, "internal", "the report could not be made"))?;
    Ok(respond(text))
}

fn respond(text: CostText) -> Response {
    let mut response = Response::new(text.body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(text.media_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if text.media_type == ReportFormat::Html.media_type() {
        set(
            header::CONTENT_SECURITY_POLICY,
            ReportFormat::content_security_policy(),
        );
        set(header::REFERRER_POLICY, "no-referrer".to_owned());
    }
    if let Some(name) = text.file_name {
        set(
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        );
    }
    if let Some(note) = text.note {
        set(HeaderName::from_static("x-waypost-note"), note);
    }
    response
}

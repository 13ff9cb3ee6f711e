//! `POST /v1/feedback`: what a caller thinks of an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use costing::{AttemptIntent, AttemptRow, LedgerError, Outcome};
use integration_core::RequestId;
use routing::{Feedback, FeedbackError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::ApiError;
use super::chat::check_headers;
use crate::app::App;
use crate::call::Refused;
use crate::callers::Identity;
use crate::quality::answered_by;

/// The largest body, in kilobytes: a comment may be long, and is read past.
const MOST_KILOBYTES: u32 = 64;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest name of a source.
const MOST_SOURCE: usize = 64;

/// `{"request_id": "…", "score": 0.8, "success": true, "source": "user"}`. A comment may come with it and is not kept: it may hold anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    request_id: String,
    score: f64,
    /// Whether the answer served its purpose, for experiments. It does not follow from the score.
    success: Option<bool>,
    source: Option<String>,
    #[serde(rename = "comment")]
    _comment: Option<IgnoredAny>,
}

pub(super) async fn feedback(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    respond(&app, &identity, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn respond(app: &App, identity: &Identity, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    check_headers(&head.headers)?;
    let (feedback, success) = read(app, &read_body(app, body, MOST_KILOBYTES).await?)?;
    let attempts = app.store.attempts(&feedback.request).await.map_err(unavailable)?;
    if let Some(first) = attempts.first() {
        check_owner(identity, first)?;
    }
    let (source, score) = (feedback.source.clone(), feedback.score());
    let request = feedback.request.clone();
    app.store.give(feedback).await.map_err(refused)?;
    app.learned.given();
    if !app.settings.experiments.is_empty() {
        app.outcomes.said(&request, &source, score, success);
    }
    // The one it counts for, as the ledger has it.
    let answered = attempts.iter().rev().find_map(|row| {
        let settlement = row.settlement.as_ref()?;
        let is_answer = settlement.outcome == Outcome::Succeeded && row.intent.purpose == AttemptIntent::CALL;
        is_answer.then_some((&row.intent, settlement.served_model.as_deref()))
    });
    let model =
        answered.and_then(|(intent, served)| answered_by(&app.catalogue, intent.model.as_str(), served));
    Ok(Json(json!({
        "object": "feedback",
        "request_id": request,
        "source": source,
        "score": score,
        "model": model,
        "task": answered.and_then(|(intent, _)| intent.task.as_deref()),
    }))
    .into_response())
}

/// Reads a small body whole, of so many kilobytes at the most.
pub(super) async fn read_body(app: &App, body: Body, most_kilobytes: u32) -> Result<Vec<u8>, ApiError> {
    let read = async {
        let _held = app.bodies.acquire_many(most_kilobytes).await;
        axum::body::to_bytes(body, most_kilobytes as usize * 1024)
            .await
            .map_err(|_| {
                let message = format!("the body broke off, or is larger than {most_kilobytes} kilobytes");
                ApiError::new(413, "body_too_large", message)
            })
    };
    tokio::select! {
        body = read => Ok(body?.into()),
        () = app.clock.sleep(BODY_TIMEOUT) => {
            let message = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
            Err(ApiError::new(408, "body_timeout", message))
        }
    }
}

fn read(app: &App, bytes: &[u8]) -> Result<(Feedback, Option<bool>), Refused> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let said: Said = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let text = inner.to_string().replace("f64", "a number");
            Refused::invalid(path.trim_matches('.'), text)
        } else {
            Refused::invalid("", format!("the body is not JSON: {inner}"))
        }
    })?;
    json.end()
        .map_err(|error| Refused::invalid("", format!("the body is not JSON: {error}")))?;
    let request = RequestId::new(&said.request_id).map_err(|error| {
        Refused::invalid(
            "request_id",
            format!("`request_id` is not the name of a request: {error}"),
        )
    })?;
    let source = said.source.unwrap_or_else(|| Feedback::USER.to_owned());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if source.is_empty() || source.len() > MOST_SOURCE || !source.bytes().all(is_plain) {
        let message =
            format!("`source` must be a word of 1 to {MOST_SOURCE} letters, digits, `-`, `_` and `.`");
        return Err(Refused::invalid("source", message));
    }
    let feedback = Feedback::new(request, source, said.score, app.clock.wall()).ok_or_else(|| {
        let message = format!(
            "`score` must be from 0, of no use, to 1, perfect, and not {}",
            said.score
        );
        Refused::invalid("score", message)
    })?;
    Ok((feedback, said.success))
}

/// Feedback is for whoever asked to give, and for the operator.
fn check_owner(identity: &Identity, attempt: &AttemptRow) -> Result<(), ApiError> {
    if identity.is_admin || identity.caller.key == attempt.intent.caller.key {
        return Ok(());
    }
    let message =
        "the request is another caller's; feedback is given by the one who asked, or with WAYPOST_ADMIN_KEY";
    Err(ApiError::new(403, "not_your_request", message))
}

fn unavailable(error: LedgerError) -> ApiError {
    ApiError::new(503, "ledger_unavailable", error.to_string()).worth_retrying()
}

fn refused(error: FeedbackError) -> ApiError {
    let message = error.to_string();
    match error {
        FeedbackError::UnknownRequest(_) => ApiError::new(
            404,
            "request_not_found",
            format!("{message}; send the `waypost.request_id` of an answer"),
        ),
        FeedbackError::NotAnswered(_) => ApiError::new(409, "request_not_answered", message),
        FeedbackError::TooManySources(_) => ApiError::new(409, "too_many_sources", message),
        FeedbackError::Store(error) => unavailable(error),
        _ => ApiError::new(500, "internal", message),
    }
}

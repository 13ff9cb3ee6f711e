//! `POST /v1/chat/completions`, in one piece and piece by piece.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use integration_core::{BoxFuture, ChatStream, Error, ErrorKind, RequestId, StreamEvent};
use routing::{Call, Exhausted};
use serde_json::{Value, json};

use super::ApiError;
use crate::app::{App, mint_request_id};
use crate::call::{Body, Prepared, prepare};
use crate::chunk::{ChunkWriter, completion};
use crate::ledger::{CallRecord, LedgerGate};
use crate::report;

/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stream to the caller may be silent before a comment is sent, so that proxies between do not close it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn completions(State(app): State<Arc<App>>, request: Request) -> Response {
    let id = match mint_request_id() {
        Ok(id) => id,
        Err(error) => return ApiError::new(500, "internal", error.to_string()).into_response(),
    };
    let mut response = match respond(&app, &id, request).await {
        Ok(response) => response,
        Err(error) => error.with_waypost(json!({ "request_id": id })).into_response(),
    };
    report::set(response.headers_mut(), "x-waypost-request-id", id.as_str());
    response
}

async fn respond(app: &Arc<App>, id: &RequestId, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    check_headers(&head.headers)?;
    let bytes = read_body(app, body).await?;
    let body = Body::parse(&bytes)?;
    drop(bytes);
    let prepared = prepare(app, &body)?;
    let headers = head
        .headers
        .iter()
        .filter(|(name, _)| app.upstreams.passes_on(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let record = record(app, id, &body, &prepared);
    let explanation = explanation(&body, &prepared);
    let call = Call {
        id: id.clone(),
        targets: &prepared.targets,
        request: &body.request,
        headers,
        deadline: body.options.max_latency_ms.map(Duration::from_millis),
        gate: Arc::new(LedgerGate(Arc::clone(&record))),
    };
    if body.stream {
        let streamed = match unless_killed(app, app.executor.stream(call)).await? {
            Ok(streamed) => streamed,
            Err(exhausted) => return Ok(failed(app, &record, &exhausted, explanation.as_ref()).await),
        };
        let model = streamed.target.model.as_str().to_owned();
        let mut response =
            HttpBody::from_stream(sse(app, &record, streamed.stream, &model, explanation)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-transform"),
        );
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        report::head(
            headers,
            &record,
            app.mode(),
            Some(&model),
            streamed.attempts.len(),
        );
        return Ok(response);
    }
    let answer = match unless_killed(app, app.executor.chat(call)).await? {
        Ok(answer) => answer,
        Err(exhausted) => return Ok(failed(app, &record, &exhausted, explanation.as_ref()).await),
    };
    record.written().await;
    let waypost = report::waypost(&record, app.mode(), app.prices.id(), explanation.as_ref());
    let model = answer.target.model.as_str();
    let mut response = Json(completion(
        id.as_str(),
        model,
        created(app),
        answer.response,
        waypost,
    ))
    .into_response();
    report::head(
        response.headers_mut(),
        &record,
        app.mode(),
        Some(model),
        answer.attempts.len(),
    );
    report::costs(response.headers_mut(), &record.total());
    Ok(response)
}

/// Waits for a call, or drops it, which settles it, when running answers must end.
async fn unless_killed<T>(app: &App, call: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::select! {
        biased;
        () = app.kill.cancelled() => Err(ApiError::new(503, "stopping", "the gateway is stopping; ask again")),
        result = call => Ok(result),
    }
}

/// The record under which the attempts of a call are filed.
pub(crate) fn record(app: &App, id: &RequestId, body: &Body, prepared: &Prepared) -> Arc<CallRecord> {
    let task = prepared.task.map(|task| task.as_str().to_owned());
    let requested = body.request.model.as_str().to_owned();
    let user = body.options.user.clone().or_else(|| body.request.user.clone());
    let record = CallRecord::new(app, id.clone(), requested, task, body.stream);
    Arc::new(record.with_owner(user, body.options.tags.clone()))
}

/// How the model was chosen, if the caller wants to know.
pub(crate) fn explanation(body: &Body, prepared: &Prepared) -> Option<Value> {
    let plan = prepared.plan.as_ref().filter(|_| body.options.explain)?;
    serde_json::to_value(plan).ok()
}

fn created(app: &App) -> i64 {
    app.clock
        .wall()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

fn check_headers(headers: &HeaderMap) -> Result<(), ApiError> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::new(
            415,
            "unsupported_encoding",
            "the body must not be compressed",
        ));
    }
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    let essence = media
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence != "application/json" {
        let message = format!(
            "the body must be application/json, not {}",
            essence.chars().take(60).collect::<String>()
        );
        return Err(ApiError::new(415, "unsupported_media_type", message));
    }
    Ok(())
}

async fn read_body(app: &App, body: HttpBody) -> Result<Bytes, ApiError> {
    let cap = app.settings.limits.max_body_bytes;
    tokio::select! {
        read = axum::body::to_bytes(body, cap) => read.map_err(|_| {
            let message = format!("the body is larger than {cap} bytes (limits.max_body_bytes) or broke off");
            ApiError::new(413, "body_too_large", message)
        }),
        () = app.clock.sleep(BODY_TIMEOUT) => {
            let message = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
            Err(ApiError::new(408, "body_timeout", message))
        }
    }
}

/// The answer to a call that no model answered.
async fn failed(app: &App, record: &CallRecord, exhausted: &Exhausted, plan: Option<&Value>) -> Response {
    record.written().await;
    let error = ApiError::of_call(&exhausted.error);
    let waypost = report::waypost(record, app.mode(), app.prices.id(), plan);
    let mut response = error.with_waypost(waypost).into_response();
    report::head(
        response.headers_mut(),
        record,
        app.mode(),
        None,
        exhausted.attempts.len(),
    );
    report::costs(response.headers_mut(), &record.total());
    response
}

struct SseState {
    app: Arc<App>,
    record: Arc<CallRecord>,
    plan: Option<Value>,
    /// Dropped as soon as the answer is over, which closes the connection to the provider.
    source: Option<ChatStream>,
    writer: ChunkWriter,
    queue: VecDeque<Bytes>,
    silence: BoxFuture<'static, ()>,
}

fn sse(
    app: &Arc<App>,
    record: &Arc<CallRecord>,
    source: ChatStream,
    model: &str,
    plan: Option<Value>,
) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let state = SseState {
        app: Arc::clone(app),
        record: Arc::clone(record),
        plan,
        source: Some(source),
        writer: ChunkWriter::new(record.request().as_str(), model, created(app)),
        queue: VecDeque::new(),
        silence: app.clock.sleep(KEEP_ALIVE),
    };
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(bytes) = state.queue.pop_front() {
                return Some((Ok(bytes), state));
            }
            let source = state.source.as_mut()?;
            tokio::select! {
                biased;
                () = state.app.kill.cancelled() => {
                    state.end(Err(Error::new(ErrorKind::Cancelled, "the gateway is stopping"))).await;
                }
                event = source.next() => {
                    state.silence = state.app.clock.sleep(KEEP_ALIVE);
                    match event {
                        Some(Ok(StreamEvent::End)) => state.end(Ok(())).await,
                        Some(Ok(event)) => {
                            let chunks = state.writer.push(event);
                            state.queue.extend(chunks.iter().map(data));
                        }
                        Some(Err(error)) => state.end(Err(error)).await,
                        None => {
                            let error = Error::new(ErrorKind::Truncated, "the answer ended before it was complete");
                            state.end(Err(error)).await;
                        }
                    }
                }
                () = &mut state.silence => {
                    state.silence = state.app.clock.sleep(KEEP_ALIVE);
                    state.queue.push_back(Bytes::from_static(b": waypost\n\n"));
                }
            }
        }
    })
}

impl SseState {
    /// Settles, then queues the last chunk and the end mark.
    async fn end(&mut self, result: Result<(), Error>) {
        self.source = None;
        self.record.written().await;
        let waypost = report::waypost(
            &self.record,
            self.app.mode(),
            self.app.prices.id(),
            self.plan.as_ref(),
        );
        let last = match result {
            Ok(()) => self.writer.last(waypost),
            Err(error) => self.writer.failed(ApiError::of_call(&error).object(), waypost),
        };
        self.queue.push_back(data(&last));
        self.queue.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    }
}

fn data(chunk: &Value) -> Bytes {
    // Compact JSON has no raw newline, so a chunk is one line.
    Bytes::from(format!("data: {chunk}\n\n"))
}

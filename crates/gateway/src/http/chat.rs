//! `POST /v1/chat/completions`, in one piece and piece by piece.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body as HttpBody, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use costing::Caller;
use http_body_util::LengthLimitError;
use integration_core::RequestId;
use routing::{Answer, Call, Exhausted, Verdict};
use serde_json::{Value, json};

use super::ApiError;
use super::stream::Pump;
use crate::app::{App, BODY_KILOBYTES};
use crate::call::{Body, Escalation, Prepared, prepare_closely};
use crate::callers::Identity;
use crate::chunk::{ChunkWriter, completion};
use crate::experiment::{End, Ending, Entered, Watched};
use crate::ledger::CallRecord;
use crate::report;

/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn completions(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    respond(&app, id, identity.caller, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn respond(
    app: &Arc<App>,
    id: RequestId,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    check_headers(&head.headers)?;
    let mut body = read_body(app, body).await?;
    let entered = Entered::of(app, &id, &caller, &mut body).map(Arc::new);
    let answered = answer(app, id, caller, body, &head.headers, entered.clone()).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    if let Some(arms) = entered.as_ref().and_then(|entered| entered.arms()) {
        report::set(response.headers_mut(), "x-waypost-experiment", arms);
    }
    Ok(response)
}

/// Serves a request that was held against the experiments.
async fn answer(
    app: &Arc<App>,
    id: RequestId,
    caller: Caller,
    mut body: Body,
    headers: &HeaderMap,
    entered: Option<Arc<Entered>>,
) -> Result<Response, ApiError> {
    let mut ending = entered
        .as_ref()
        .and_then(|entered| Ending::of(entered, &app.outcomes, &id));
    let mut prepared = match prepare_closely(app, &mut body, &caller).await {
        Ok(prepared) => prepared,
        Err(refused) => {
            tell(ending.as_ref(), End::Failed(None));
            let experiments = entered.as_ref().and_then(|entered| entered.json());
            let told = experiments.map_or(Value::Null, |told| json!({ "experiments": told }));
            return Err(ApiError::from(refused).with_waypost(told));
        }
    };
    let headers = headers
        .iter()
        .filter(|(name, _)| app.upstreams.passes_on(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let (request, body) = (id.clone(), Arc::new(body));
    let record = CallRecord::of_entered(app, id, &body, &prepared, caller, entered);
    let record = Arc::new(record);
    if let Some(ending) = &mut ending {
        ending.goes(&prepared);
        ending.is_recorded(&record);
    }
    // What a learned policy promises is not given up for a budget.
    if prepared.learned.is_none()
        && let Some(first) = prepared.targets.first()
        && record
            .preview(first)
            .await
            .is_some_and(|standing| standing.prefer_cheaper)
    {
        prepared.cheapest_first(app);
    }
    let asked = Asked {
        record,
        escalation: prepared.escalation.clone(),
        plan: prepared.explanation(),
        ending,
        watched: app.mirrors.watch(app, &request, &body),
        app: Arc::clone(app),
    };
    // Dropped with this future when the caller goes. The call itself is a task of its own: what is under way at the provider is
    // billed, so it is not let go of before it has told its name.
    let _caller = asked.record.caller();
    let answered = app.tasks.spawn(asked.answer(body, prepared, headers)).await;
    answered.unwrap_or_else(|_| Err(ApiError::new(500, "internal", "the call ended unexpectedly")))
}

/// A call that is under way.
struct Asked {
    app: Arc<App>,
    record: Arc<CallRecord>,
    escalation: Option<Arc<Escalation>>,
    /// How the model was chosen, if the caller wants to know.
    plan: Option<Value>,
    /// What becomes of it, if it is in an experiment.
    ending: Option<Ending>,
    /// For the mirrors, if there are any.
    watched: Option<Watched>,
}

impl Asked {
    async fn answer(
        self,
        body: Arc<Body>,
        prepared: Prepared,
        headers: Vec<(String, String)>,
    ) -> Result<Response, ApiError> {
        let call = self.call(&body, &prepared, headers);
        if body.stream {
            self.stream(call).await
        } else {
            self.whole(call).await
        }
    }

    fn call<'a>(&self, body: &'a Body, prepared: &'a Prepared, headers: Vec<(String, String)>) -> Call<'a> {
        let gate = self.record.gate();
        let call = prepared
            .call(self.record.request().clone(), &body.request)
            .with_headers(headers)
            .with_gate(gate);
        match body.options.max_latency_ms {
            Some(milliseconds) => call.with_deadline(Duration::from_millis(milliseconds)),
            None => call,
        }
    }

    async fn stream(self, call: Call<'_>) -> Result<Response, ApiError> {
        let streamed = match self.unless_killed(self.app.executor.stream(call)).await? {
            Ok(streamed) => streamed,
            Err(exhausted) => return Ok(self.failed(&exhausted).await),
        };
        self.record.passed_over(&streamed.passed_over);
        let model = streamed.target.model.as_str();
        let writer = ChunkWriter::new(self.record.request().as_str(), model, created(&self.app));
        let mut response = Response::new(HttpBody::empty());
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
        report::head(headers, Some(model), streamed.attempts.len());
        report::budget(headers, &self.record.standing());
        let pump = Pump {
            app: self.app,
            record: self.record,
            plan: self.plan,
            ending: self.ending,
            watched: self.watched,
            target: streamed.target,
            writer,
        };
        *response.body_mut() = HttpBody::from_stream(pump.start(streamed.stream));
        Ok(response)
    }

    async fn whole(mut self, call: Call<'_>) -> Result<Response, ApiError> {
        let (answer, checked) = match self.unless_killed(self.checked(call)).await? {
            Ok(answered) => answered,
            Err(exhausted) => return Ok(self.failed(&exhausted).await),
        };
        self.record.passed_over(&answer.passed_over);
        self.end(End::Answered);
        if let Some(watched) = self.watched.take() {
            let copy = || Some(answer.response.clone());
            watched.answered(&self.app, &self.record, &answer.target, copy);
        }
        self.record.written().await;
        let mut waypost = self.waypost();
        if let Some(checked) = checked {
            waypost["cascade"] = checked;
        }
        let model = answer.target.model.as_str();
        let id = self.record.request().as_str();
        let body = completion(id, model, created(&self.app), answer.response, waypost);
        let mut response = Json(body).into_response();
        report::head(response.headers_mut(), Some(model), answer.attempts.len());
        report::costs(response.headers_mut(), &self.record.total());
        report::budget(response.headers_mut(), &self.record.standing());
        Ok(response)
    }

    /// The answer, and what a cascade had against those before it.
    async fn checked(&self, call: Call<'_>) -> Result<(Answer, Option<Value>), Exhausted> {
        let Some(escalation) = &self.escalation else {
            return Ok((self.app.executor.chat(call).await?, None));
        };
        let done = self
            .app
            .executor
            .cascade(call, escalation.steps, &**escalation)
            .await?;
        let mut answer = done.answer;
        if let Some(exhausted) = done.exhausted {
            answer.attempts.extend(exhausted.attempts);
            answer.passed_over.extend(exhausted.passed_over);
        }
        let why = match done.verdict {
            Verdict::Accepted => None,
            Verdict::Rejected(why) => Some(why),
        };
        let rejected = done.rejected.iter();
        let rejected: Vec<_> = rejected
            .map(|one| json!({ "model": one.target.model, "why": one.why }))
            .collect();
        let checked = json!({ "accepted": why.is_none(), "why": why, "rejected": rejected });
        Ok((answer, Some(checked)))
    }

    /// Waits for a call, or drops it, which settles it, when running answers must end or nobody wants it any more.
    async fn unless_killed<T>(&self, call: impl Future<Output = T>) -> Result<T, ApiError> {
        tokio::select! {
            biased;
            () = self.app.kill.cancelled() => {}
            result = self.record.while_wanted(call) => {
                if result.is_none() {
                    self.end(End::Gone);
                }
                return result.ok_or_else(|| ApiError::new(499, "cancelled", "the caller is gone"));
            }
        }
        self.end(End::Failed(None));
        self.record.written().await;
        let error = ApiError::new(503, "stopping", "the gateway is stopping; ask again");
        Err(error.worth_retrying().with_waypost(self.waypost()))
    }

    /// The answer to a call that no model answered.
    async fn failed(&self, exhausted: &Exhausted) -> Response {
        self.record.passed_over(&exhausted.passed_over);
        self.end(End::Failed(Some(exhausted.error.kind())));
        self.record.written().await;
        let mut response = ApiError::of_call(&exhausted.error)
            .with_waypost(self.waypost())
            .into_response();
        report::head(response.headers_mut(), None, exhausted.attempts.len());
        report::costs(response.headers_mut(), &self.record.total());
        report::budget(response.headers_mut(), &self.record.standing());
        response
    }

    /// Tells how the call ended, unless the caller is gone: that is no fault of the arm.
    fn end(&self, end: End) {
        let end = if self.record.is_abandoned() {
            End::Gone
        } else {
            end
        };
        tell(self.ending.as_ref(), end);
    }

    fn waypost(&self) -> Value {
        report::waypost(
            &self.record,
            self.app.mode(),
            self.app.prices.id(),
            self.plan.as_ref(),
        )
    }
}

/// Tells how a call ended, if it is in an experiment.
pub(super) fn tell(ending: Option<&Ending>, end: End) {
    if let Some(ending) = ending {
        ending.end(end);
    }
}

fn created(app: &App) -> i64 {
    app.clock
        .wall()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), ApiError> {
    let plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Err(ApiError::new(
            415,
            "unsupported_encoding",
            "the body must not be compressed",
        ));
    }
    // A browser sends other types, or none, to any address without asking first; JSON it must ask for.
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let essence = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    match (types.next().map(essence).as_deref(), types.next()) {
        (Some("application/json"), None) => Ok(()),
        _ => {
            let message = "the header content-type must be application/json, once";
            Err(ApiError::new(415, "unsupported_media_type", message))
        }
    }
}

async fn read_body(app: &App, body: HttpBody) -> Result<Body, ApiError> {
    let cap = app.settings.limits.max_body_bytes;
    let too_large = || {
        let message = format!("the body is larger than {cap} bytes (limits.max_body_bytes)");
        ApiError::new(413, "body_too_large", message)
    };
    let size = body.size_hint();
    if size.lower() > cap as u64 {
        return Err(too_large());
    }
    // What all bodies may take together is bounded; one whose length is not told counts as the largest.
    let most = size
        .upper()
        .map_or(cap, |upper| usize::try_from(upper).unwrap_or(cap).min(cap));
    let kilobytes = u32::try_from(most.div_ceil(1024))
        .unwrap_or(u32::MAX)
        .min(BODY_KILOBYTES);
    let read = async {
        let _held = app.bodies.acquire_many(kilobytes).await;
        let bytes: Bytes = axum::body::to_bytes(body, cap).await.map_err(|error| {
            if error.source().is_some_and(|cause| cause.is::<LengthLimitError>()) {
                too_large()
            } else {
                ApiError::new(400, "body_broken", "the body broke off before its end")
            }
        })?;
        Ok(Body::parse(&bytes)?)
    };
    tokio::select! {
        body = read => body,
        () = app.clock.sleep(BODY_TIMEOUT) => {
            let message = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
            Err(ApiError::new(408, "body_timeout", message))
        }
    }
}

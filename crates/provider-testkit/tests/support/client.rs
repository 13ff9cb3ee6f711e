//! The client.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream;
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatRequest, ChatResponse, ChatStream, Clock,
    Delivery, Embedding, EmbeddingClient, EmbeddingRequest, EmbeddingResponse, Error, ErrorKind,
    HealthReport, HealthStatus, IntegrationClient, ProviderId, Result, Secret, StreamEvent,
};
use serde_json::{Value, json};

use super::Flaw;
use super::http::{Answer, Request, send, too_large};
use super::read::{Reader, kind, retry_after, told};

/// How long a call may take in all.
const TOTAL: Duration = Duration::from_secs(600);
/// What [`TestClient`] takes at most; small, so that tests are quick.
pub const CAP: usize = 1 << 20;

#[derive(Clone)]
pub struct TestClient(Arc<Inner>);

struct Inner {
    id: ProviderId,
    url: String,
    key: Secret,
    clock: Arc<dyn Clock>,
    capabilities: CapabilitySet,
    flaw: Option<Flaw>,
    broken: Mutex<bool>,
    /// What is about to be sent; a flaw.
    outgoing: Mutex<String>,
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TestClient");
        out.field("url", &self.0.url);
        if self.has(Flaw::DebugShowsKey) {
            out.field("key", &self.0.key.expose());
        }
        out.finish()
    }
}

impl TestClient {
    pub fn new(
        url: &str,
        key: Secret,
        clock: Arc<dyn Clock>,
        capabilities: CapabilitySet,
        flaw: Option<Flaw>,
    ) -> Self {
        let id = match flaw {
            Some(Flaw::IdOfUrl) => url.replace([':', '/'], "-"),
            _ => "acme".to_owned(),
        };
        Self(Arc::new(Inner {
            id: ProviderId::new(id).unwrap(),
            url: url.to_owned(),
            key,
            clock,
            capabilities,
            flaw,
            broken: Mutex::new(false),
            outgoing: Mutex::default(),
        }))
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.0.flaw == Some(flaw)
    }

    /// Sets what every error says, and what flaws make of it.
    fn named(&self, error: Error) -> Error {
        let error = error.with_provider(self.0.id.clone());
        if self.has(Flaw::StaysBroken) {
            *self.0.broken.lock().unwrap() = true;
        }
        if self.has(Flaw::StumblesOnce) {
            let mut broken = self.0.broken.lock().unwrap();
            *broken = !*broken;
        }
        match self.0.flaw {
            Some(Flaw::NothingSent) => error.with_delivery(Delivery::NotSent),
            Some(Flaw::EverythingSent) => error.with_delivery(Delivery::MaybeSent),
            _ => error,
        }
    }

    fn headers(&self, cx: Option<&CallContext>) -> Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        for (name, value) in cx.into_iter().flat_map(|cx| &cx.headers) {
            let own = ["authorization", "content-type", "content-length", "host"];
            let bad = |text: &str| text.is_empty() || text.bytes().any(|b| !(b' '..0x7f).contains(&b));
            if self.has(Flaw::NoHeaders) {
                continue;
            }
            let refused =
                own.contains(&&*name.to_lowercase()) || bad(name) || bad(value) || name.contains([':', ' ']);
            if refused && !self.has(Flaw::UncheckedHeaders) {
                return Err(Error::new(ErrorKind::InvalidRequest, "a header cannot be sent"));
            }
            headers.push((name.clone(), value.clone()));
        }
        if !self.has(Flaw::NoKey) {
            headers.push((
                "authorization".to_owned(),
                format!("Bearer {}", self.0.key.expose()),
            ));
        }
        if self.has(Flaw::SecondKeyHeader) {
            headers.push(("x-acme-key".to_owned(), self.0.key.expose().to_owned()));
        }
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Ok(headers)
    }

    /// Sends, and maps the statuses that tell of a failure.
    async fn open(
        &self,
        cx: Option<&CallContext>,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer> {
        let first = self.open_once(cx, method, path, body.clone()).await;
        match first {
            Err(_) if self.has(Flaw::Retries) => self.open_once(cx, method, path, body).await,
            first => first,
        }
    }

    async fn open_once(
        &self,
        cx: Option<&CallContext>,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer> {
        let now = self.0.clock.now();
        let deadline: Option<Instant> = cx
            .and_then(|cx| cx.deadline)
            .filter(|_| !self.has(Flaw::NoCallerDeadline));
        let total = if method == "GET" {
            Duration::from_secs(10)
        } else {
            TOTAL
        };
        let request = Request {
            url: &self.0.url,
            method,
            path,
            headers: self.headers(cx)?,
            body,
            until: deadline.unwrap_or(now + total).min(now + total),
            no_deadline: self.has(Flaw::NoDeadline),
        };
        let mut answer = send(request, Arc::clone(&self.0.clock)).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let location = answer.header("location").map(str::to_owned);
        if let (true, Some(location)) = (self.has(Flaw::FollowsRedirects), location) {
            let (host, path) = location.trim_start_matches("http://").split_once('/').unwrap();
            let request = Request {
                url: host,
                method,
                path: &format!("/{path}"),
                headers: self.headers(cx)?,
                body: None,
                until: now + TOTAL,
                no_deadline: false,
            };
            return send(request, Arc::clone(&self.0.clock)).await;
        }
        let status = answer.status;
        let body = answer.whole(CAP).await.unwrap_or_default();
        let flaw = self.0.flaw;
        let error = match serde_json::from_slice::<Value>(&body) {
            Ok(body) => told(status, &body["error"], flaw, self.0.key.expose()),
            Err(_) if flaw == Some(Flaw::PageHidesStatus) => {
                Error::new(ErrorKind::Protocol, "no JSON").with_delivery(Delivery::Answered)
            }
            Err(_) => Error::new(kind(status, flaw), "no JSON").with_delivery(Delivery::Answered),
        };
        let wait = answer.header("retry-after");
        let wait = wait.and_then(|value| retry_after(value, self.0.clock.wall(), flaw));
        let error = match wait {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        };
        Err(error.with_status(status))
    }

    async fn whole(&self, cx: Option<&CallContext>, path: &str, body: Option<String>) -> Result<String> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let mut answer = self.open(cx, method, path, body).await?;
        let cap = if self.has(Flaw::NoCap) { usize::MAX } else { CAP };
        let body = answer.whole(cap).await?;
        String::from_utf8(body)
            .map_err(|_| Error::new(ErrorKind::Protocol, "no UTF-8").with_delivery(Delivery::Partial))
    }

    fn refuse(&self, ability: &str, stream: bool) -> Result<()> {
        match self.has(Flaw::DoesWhatItDenies) || (stream && self.has(Flaw::StreamsWhatItDenies)) {
            true => Ok(()),
            false => Err(Error::unsupported(&self.0.id, ability)),
        }
    }

    fn body(&self, request: &ChatRequest, stream: bool) -> Result<String> {
        if *self.0.broken.lock().unwrap() {
            return Err(Error::new(ErrorKind::Transport, "broken for good"));
        }
        if !self.0.capabilities.contains(Capability::Chat) {
            self.refuse("chat", stream)?;
        }
        if stream && !self.0.capabilities.contains(Capability::Streaming) {
            self.refuse("streaming", stream)?;
        }
        let offered = self.0.capabilities.with(Capability::TextOutput);
        let missing = request.needs().missing_from(offered);
        if !missing.is_empty() && !self.has(Flaw::SendsAnything) {
            self.refuse(&missing.to_string(), stream)?;
        }
        let mut body = match self.has(Flaw::SendsTheLeast) {
            true => json!({ "model": request.model, "messages": request.messages }),
            false => serde_json::to_value(request).unwrap(),
        };
        if self.has(Flaw::Floats) {
            for value in body.as_object_mut().unwrap().values_mut() {
                if let Some(number) = value.as_f64() {
                    *value = json!(number);
                }
            }
        }
        body["stream"] = json!(stream && !self.has(Flaw::NeverStreams));
        Ok(body.to_string())
    }

    /// `GET /v1/models`.
    pub async fn models(&self) -> Result<Vec<String>> {
        let list = self.whole(None, "/v1/models", None).await.and_then(|text| {
            let protocol = |_| Error::new(ErrorKind::Protocol, "no list").with_delivery(Delivery::Partial);
            serde_json::from_str::<Value>(&text).map_err(protocol)
        });
        let list = match list {
            Err(_) if self.has(Flaw::EmptyModels) => return Ok(Vec::new()),
            list => list.map_err(|error| self.named(error))?,
        };
        let ids = list["data"].as_array().into_iter().flatten();
        let mut ids: Vec<String> = ids
            .filter_map(|model| Some(model["id"].as_str()?.to_owned()))
            .collect();
        if self.has(Flaw::SortsModels) {
            ids.sort();
        }
        Ok(ids)
    }

    async fn read_whole(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse> {
        let mut body = self.body(request, false)?;
        if self.has(Flaw::MixesCalls) {
            *self.0.outgoing.lock().unwrap() = body;
            tokio::task::yield_now().await;
            body = self.0.outgoing.lock().unwrap().clone();
        }
        let text = self.whole(Some(cx), "/v1/chat/completions", Some(body)).await?;
        if text.trim().is_empty() && !self.has(Flaw::AnyBodyAnswers) {
            return Err(Error::new(ErrorKind::Truncated, "empty").with_delivery(Delivery::Partial));
        }
        let mut reader = Reader::new(self.0.flaw, self.0.key.expose());
        reader.read(&text, "message")?;
        reader.complete();
        let events = reader.out.into_iter().map(Ok);
        integration_core::chat::fold_stream(Box::pin(stream::iter(events))).await
    }
}

#[async_trait]
impl IntegrationClient for TestClient {
    fn id(&self) -> &ProviderId {
        &self.0.id
    }

    fn capabilities(&self) -> CapabilitySet {
        self.0.capabilities
    }

    async fn health(&self) -> HealthReport {
        let outcome = match self.has(Flaw::HealthCosts) {
            true => self.whole(None, "/v1/models", Some("{}".to_owned())).await,
            false => self.whole(None, "/v1/models", None).await,
        };
        let outcome = outcome.and_then(|text| {
            serde_json::from_str::<Value>(&text).map_err(|_| Error::new(ErrorKind::Protocol, "no list"))
        });
        let healthy = match self.0.flaw {
            Some(Flaw::AlwaysHealthy) => true,
            Some(Flaw::NeverHealthy) => false,
            _ => outcome.is_ok(),
        };
        let status = if healthy {
            HealthStatus::Healthy
        } else {
            HealthStatus::Unhealthy
        };
        let report = HealthReport::new(self.0.id.clone(), status, self.0.clock.wall());
        match healthy || self.has(Flaw::SilentHealth) {
            true => report,
            false => report.with_message(match outcome {
                Err(error) => format!("it does not answer: {error}"),
                Ok(_) => "it does not please".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl ChatClient for TestClient {
    async fn chat(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse> {
        let outcome = if self.has(Flaw::GoesOn) {
            let (client, cx, request) = (self.clone(), cx.clone(), request.clone());
            tokio::spawn(async move { client.read_whole(&cx, &request).await })
                .await
                .unwrap()
        } else {
            self.read_whole(cx, request).await
        };
        outcome.map_err(|error| self.named(error))
    }

    async fn chat_stream(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatStream> {
        let path = "/v1/chat/completions";
        let open = async {
            let body = self.body(request, true)?;
            self.open(Some(cx), "POST", path, Some(body)).await
        };
        let mut answer = open.await.map_err(|error| self.named(error))?;
        if !answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            let cap = if self.has(Flaw::NoCap) { usize::MAX } else { CAP };
            let body = answer.whole(cap).await.map_err(|error| self.named(error))?;
            let mut reader = Reader::new(self.0.flaw, self.0.key.expose());
            if body.is_empty() && !self.has(Flaw::AnyBodyAnswers) {
                let error = Error::new(ErrorKind::Truncated, "empty").with_delivery(Delivery::Partial);
                return Err(self.named(error));
            }
            let text = String::from_utf8_lossy(&body);
            reader.read(&text, "message").map_err(|error| self.named(error))?;
            reader.complete();
            return Ok(Box::pin(stream::iter(reader.out.into_iter().map(Ok))));
        }
        let live = Live {
            client: self.clone(),
            answer,
            reader: Reader::new(self.0.flaw, self.0.key.expose()),
            bytes: Vec::new(),
            failed: false,
        };
        if self.has(Flaw::GoesOn) {
            let (tell, told) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(async move {
                let mut live = live;
                while let Some(item) = live.next().await {
                    let _ = tell.send(item);
                }
            });
            return Ok(Box::pin(stream::unfold(told, |mut told| async {
                let item = told.recv().await?;
                Some((item, told))
            })));
        }
        if self.has(Flaw::Collects) {
            let mut live = live;
            let mut all = VecDeque::new();
            while let Some(item) = live.next().await {
                all.push_back(item);
            }
            return Ok(Box::pin(stream::iter(all)));
        }
        Ok(Box::pin(stream::unfold(live, |mut live| async {
            let item = live.next().await?;
            Some((item, live))
        })))
    }
}

/// A stream as it comes.
struct Live {
    client: TestClient,
    answer: Answer,
    reader: Reader,
    bytes: Vec<u8>,
    failed: bool,
}

impl Live {
    async fn next(&mut self) -> Option<Result<StreamEvent>> {
        loop {
            if let Some(event) = self.reader.out.pop_front() {
                return Some(Ok(event));
            }
            if self.reader.over || self.failed {
                return None;
            }
            if let Err(error) = self.step().await {
                self.failed = true;
                let error = self.reader.fail(error);
                self.reader.out.clear();
                return Some(Err(self.client.named(error)));
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        let piece = match self.answer.piece().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return self.reader.end(),
            Err(_) if self.client.has(Flaw::EndIsComplete) => return self.reader.end(),
            Err(error) => return Err(error),
        };
        if self.client.has(Flaw::OnlyIdle) {
            self.answer.until = self.client.0.clock.now() + TOTAL;
        }
        match self.client.has(Flaw::DecodesPieces) {
            true => self
                .bytes
                .extend(String::from_utf8_lossy(&piece).into_owned().into_bytes()),
            false => self.bytes.extend(piece),
        }
        if self.bytes.len() > CAP && !self.client.has(Flaw::NoCap) {
            return Err(too_large());
        }
        while let Some(frame) = self.frame() {
            for line in frame.lines() {
                if line.starts_with(':') && self.client.has(Flaw::CommentsSurface) && self.reader.started {
                    let text = String::new();
                    self.reader
                        .out
                        .push_back(StreamEvent::Content { choice: 0, text });
                }
                let Some(data) = line.strip_prefix("data:") else {
                    continue;
                };
                match data.trim() {
                    "[DONE]" if self.reader.started => self.reader.complete(),
                    data if !self.reader.over => self.reader.read(data, "delta")?,
                    _ => {}
                }
            }
            if self.client.has(Flaw::OneEventPerPiece) {
                self.bytes.clear();
            }
        }
        Ok(())
    }

    /// The next event in front of what has come.
    fn frame(&mut self) -> Option<String> {
        let ends: &[&[u8]] = match self.client.has(Flaw::OnlyLf) {
            true => &[b"\n\n"],
            false => &[b"\n\n", b"\r\n\r\n"],
        };
        let end = |end: &&[u8]| {
            let at = self.bytes.windows(end.len()).position(|bytes| bytes == *end)?;
            Some(at + end.len())
        };
        let at = ends.iter().filter_map(end).min()?;
        Some(String::from_utf8_lossy(&self.bytes.drain(..at).collect::<Vec<u8>>()).into_owned())
    }
}

#[async_trait]
impl EmbeddingClient for TestClient {
    async fn embed(&self, cx: &CallContext, request: &EmbeddingRequest) -> Result<EmbeddingResponse> {
        if !self.0.capabilities.contains(Capability::Embeddings) {
            self.refuse("embeddings", false)?;
        }
        let body = serde_json::to_string(request).unwrap();
        let text = match self.whole(Some(cx), "/v1/embeddings", Some(body)).await {
            Err(_) if self.has(Flaw::EmptyVectors) => "{}".to_owned(),
            text => text.map_err(|error| self.named(error))?,
        };
        let answer: Value = serde_json::from_str(&text).unwrap();
        let data = answer["data"].as_array().cloned().unwrap_or_default();
        let mut vectors: Vec<Embedding> = data
            .iter()
            .map(|one| {
                let numbers = one["embedding"].as_array().into_iter().flatten();
                let vector = numbers.map(|number| number.as_f64().unwrap() as f32).collect();
                Embedding::new(one["index"].as_u64().unwrap() as usize, vector)
            })
            .collect();
        if !self.has(Flaw::VectorsAsSent) {
            vectors.sort_by_key(|vector| vector.index);
        }
        Ok(EmbeddingResponse::new("acme/vectors-1", vectors))
    }
}

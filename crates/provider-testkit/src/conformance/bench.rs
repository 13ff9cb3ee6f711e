//! What scenarios are made of: a client at a scripted server, calls, and the questions that every call must answer well.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use integration_core::chat::{ChatFold, Message, Tool};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatRequest, ChatResponse, ChatStream, Delivery,
    EmbeddingRequest, Error, ErrorKind, ManualClock, ModelId, ProviderId, RequestId, Result, Secret,
    StreamEvent,
};

use super::{Answer, Candidate, Place, Subject};
use crate::upstream::{Received, Script, ScriptedUpstream};

/// What is wrong, if anything.
pub(super) type Verdict<T = ()> = Result<T, String>;

/// Fails a scenario unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
pub(super) use ensure;

/// A credential that stands out wherever it should not be.
const KEY: &str = "sk-CANARY-0123456789abcdef";
/// A question that stands out wherever it should not be.
pub(super) const QUESTION: &str = "a private QUESTION of the caller";
/// The time of day at which every scenario begins: 90 seconds before [`DATE`].
const START: Duration = Duration::from_secs(784_111_777 - 90);
/// The date that HTTP's own standard takes for its examples.
pub(super) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// Why scenarios about keep-alives have nothing to test.
pub(super) const NO_KEEP_ALIVES: &str = "the server sends no keep-alives";
/// How often the runtime is given a turn before time is moved on: a message between two sockets of this machine needs two
/// or three.
const TURNS: usize = 64;
/// How often in a row nobody may be found to sleep before nobody ever will.
const IDLE_ROUNDS: usize = 100;

/// How an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Whole,
    Pieces,
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) mode: Mode,
    /// The pieces, where it was asked for in pieces.
    pub(super) events: Vec<StreamEvent>,
    pub(super) result: Result<ChatResponse>,
}

pub(super) struct Bench {
    pub(super) subject: Arc<dyn Subject>,
    pub(super) clock: ManualClock,
    key: Option<Secret>,
    capabilities: CapabilitySet,
    /// Why a scenario had nothing to test, if it had not.
    untested: RefCell<Option<String>>,
}

impl Bench {
    pub(super) fn new(subject: Arc<dyn Subject>) -> Self {
        let clock = ManualClock::starting_at(SystemTime::UNIX_EPOCH + START);
        let mut bench = Self {
            subject,
            clock,
            key: Secret::new(KEY).ok(),
            capabilities: CapabilitySet::EMPTY,
            untested: RefCell::default(),
        };
        // Nothing listens there, and nothing is sent.
        if let Ok(candidate) = bench.candidate("http://127.0.0.1:9") {
            bench.capabilities = candidate.chat.capabilities();
        }
        bench
    }

    pub(super) fn key(&self) -> &'static str {
        KEY
    }

    pub(super) fn declares(&self, capability: Capability) -> bool {
        self.capabilities.contains(capability)
    }

    pub(super) fn declared(&self) -> CapabilitySet {
        self.capabilities
    }

    /// Notes that a scenario has nothing to test, by what the subject says of its server.
    pub(super) fn is_untested(&self, reason: &str) {
        self.untested.replace(Some(reason.to_owned()));
    }

    pub(super) fn why_untested(&self) -> Option<String> {
        self.untested.take()
    }

    pub(super) fn pending_sleeps(&self) -> usize {
        self.clock.pending()
    }

    /// A client of a server at `url`.
    pub(super) fn candidate(&self, url: &str) -> Verdict<Candidate> {
        let key = self.key.clone().ok_or("the canary is no key")?;
        Ok(self.subject.candidate(&Place {
            url: url.to_owned(),
            key,
            clock: Arc::new(self.clock.clone()),
        }))
    }

    pub(super) fn at(&self, upstream: &ScriptedUpstream) -> Verdict<Candidate> {
        self.candidate(&upstream.url())
    }

    /// The ways of asking that the client declares.
    pub(super) fn modes(&self) -> Vec<Mode> {
        let streams = self.declares(Capability::Streaming);
        let modes = [(Mode::Whole, true), (Mode::Pieces, streams)];
        modes
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(mode, _)| mode)
            .collect()
    }

    pub(super) fn cx(&self) -> Verdict<CallContext> {
        Ok(CallContext::new(RequestId::new("request-1").map_err(text)?))
    }

    pub(super) fn asking(&self, question: &str) -> Verdict<ChatRequest> {
        let model = ModelId::new(self.subject.model()).map_err(text)?;
        Ok(ChatRequest::new(model, vec![Message::user(question)]))
    }

    pub(super) fn request(&self) -> Verdict<ChatRequest> {
        self.asking(QUESTION)
    }

    pub(super) fn request_with_tools(&self) -> Verdict<ChatRequest> {
        let mut request = self.request()?;
        let parameters =
            serde_json::json!({ "type": "object", "properties": { "city": { "type": "string" } } });
        request.tools = vec![Tool::function("weather", "The weather of a city", parameters)];
        Ok(request)
    }

    /// The answer in one piece, as a server sends it.
    pub(super) fn whole(&self, answer: &Answer) -> Script {
        Script::json(200, self.subject.whole(answer))
    }

    /// Frames as the body of a stream that ends properly.
    pub(super) fn stream_of(&self, frames: impl IntoIterator<Item = String>) -> Script {
        let start = Script::chunked(200, self.subject.stream_type());
        frames.into_iter().fold(start, |script, frame| script.send(frame))
    }

    /// The frames of a complete answer.
    pub(super) fn all_frames(&self, answer: &Answer) -> Vec<String> {
        let mut frames = self.subject.frames(answer);
        frames.extend(self.subject.last_frame());
        frames
    }

    /// A server that gives this answer however it is asked.
    pub(super) async fn serving(&self, answer: &Answer) -> ScriptedUpstream {
        let stream = self.stream_of(self.all_frames(answer));
        self.by_mode(self.whole(answer), stream).await
    }

    /// A server with a script for each way of asking.
    pub(super) async fn by_mode(&self, whole: Script, stream: Script) -> ScriptedUpstream {
        let subject = Arc::clone(&self.subject);
        ScriptedUpstream::start(move |request| {
            if subject.wants_stream(request) {
                stream.clone()
            } else {
                whole.clone()
            }
        })
        .await
    }

    /// One call. The verdict is about what must hold for every call: the grammar of streams, and errors without secrets.
    pub(super) async fn call(
        &self,
        candidate: &Candidate,
        mode: Mode,
        cx: &CallContext,
        request: &ChatRequest,
    ) -> Verdict<Call> {
        let mut events = Vec::new();
        let result = match mode {
            Mode::Whole => candidate.chat.chat(cx, request).await,
            Mode::Pieces => match candidate.chat.chat_stream(cx, request).await {
                Ok(mut stream) => read(&mut stream, &mut events).await?,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = &result {
            self.is_clean(error)?;
        }
        Ok(Call { mode, events, result })
    }

    /// An ordinary call.
    pub(super) async fn ask(&self, upstream: &ScriptedUpstream, mode: Mode) -> Verdict<Call> {
        self.ask_for(upstream, mode, &self.request()?).await
    }

    pub(super) async fn ask_for(
        &self,
        upstream: &ScriptedUpstream,
        mode: Mode,
        request: &ChatRequest,
    ) -> Verdict<Call> {
        let candidate = self.at(upstream)?;
        self.call(&candidate, mode, &self.cx()?, request).await
    }

    /// The answer as the client reads it, in every way of asking.
    pub(super) async fn answers(&self, answer: &Answer) -> Verdict<Vec<ChatResponse>> {
        self.answers_to(answer, &self.request()?).await
    }

    pub(super) async fn answers_to(
        &self,
        answer: &Answer,
        request: &ChatRequest,
    ) -> Verdict<Vec<ChatResponse>> {
        let upstream = self.serving(answer).await;
        let mut responses = Vec::new();
        for mode in self.modes() {
            responses.push(self.ask_for(&upstream, mode, request).await?.answered()?);
        }
        Ok(responses)
    }

    /// The answer that the client reads from these frames.
    pub(super) async fn reads(&self, script: Script) -> Verdict<Call> {
        let upstream = ScriptedUpstream::always(script).await;
        self.ask(&upstream, Mode::Pieces).await
    }

    /// The errors of a server that does the same whatever is asked.
    pub(super) async fn failures(&self, script: &Script) -> Verdict<Vec<(Mode, Error)>> {
        let mut errors = Vec::new();
        for mode in self.modes() {
            let upstream = ScriptedUpstream::always(script.clone()).await;
            errors.push((mode, self.ask(&upstream, mode).await?.failed()?));
        }
        Ok(errors)
    }

    /// What an error must not say, and must say.
    pub(super) fn is_clean(&self, error: &Error) -> Verdict {
        let mut shown = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            shown.push_str(&format!(" {inner} {inner:?}"));
            cause = inner.source();
        }
        ensure!(!shown.contains(KEY), "the error shows the key");
        ensure!(
            !shown.contains(QUESTION),
            "the error shows what was asked: {shown}"
        );
        Ok(())
    }

    /// Runs a call and lets time pass once the server has read its request, until the client gives up.
    pub(super) async fn until_given_up<T>(
        &self,
        upstream: &ScriptedUpstream,
        call: impl Future<Output = T>,
    ) -> Verdict<T> {
        let mut call = pin!(call);
        tokio::select! {
            biased;
            out = &mut call => return Ok(out),
            _ = upstream.next_request() => {}
        }
        self.while_time_passes(call).await
    }

    /// Runs something and moves the clock to the next deadline whenever nothing else is left to do.
    pub(super) async fn while_time_passes<T>(
        &self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Verdict<T> {
        let mut idle = 0;
        while idle < IDLE_ROUNDS {
            if let Some(out) = turns(work.as_mut()).await {
                return Ok(out);
            }
            idle = if self.clock.advance_to_next() { 0 } else { idle + 1 };
        }
        Err("the server is silent, and the client waits for ever: it has no deadline by its clock".to_owned())
    }

    pub(super) async fn refuses_chat(&self) -> Verdict {
        self.refuses(&self.request()?).await
    }

    pub(super) async fn refuses_streaming(&self) -> Verdict {
        self.refuses_in(Mode::Pieces, &self.request()?).await
    }

    pub(super) async fn refuses_tools(&self) -> Verdict {
        self.refuses(&self.request_with_tools()?).await
    }

    /// An ability that is not declared is refused however it is asked for, and nothing is sent. Where streams are not
    /// declared either, a stream is refused for one reason or the other.
    pub(super) async fn refuses(&self, request: &ChatRequest) -> Verdict {
        for mode in [Mode::Whole, Mode::Pieces] {
            let refused = self.refuses_in(mode, request).await;
            refused.map_err(|wrong| format!("asked for {mode}: {wrong}"))?;
        }
        Ok(())
    }

    async fn refuses_in(&self, mode: Mode, request: &ChatRequest) -> Verdict {
        let upstream = self.serving(&Answer::text(&["sent all the same"])).await;
        let call = self.ask_for(&upstream, mode, request).await?;
        self.is_refusal(&upstream, call.result.err())
    }

    pub(super) async fn refuses_embeddings(&self) -> Verdict {
        let upstream =
            ScriptedUpstream::always(Script::json(200, self.subject.vectors_body(&[vec![1.0]]))).await;
        // Without the trait there is nothing that could be called.
        let Some(client) = self.at(&upstream)?.embeddings else {
            return Ok(());
        };
        let model = ModelId::new(self.subject.model()).map_err(text)?;
        let request = EmbeddingRequest::new(model, vec!["a".to_owned()]);
        let outcome = client.embed(&self.cx()?, &request).await;
        self.is_refusal(&upstream, outcome.err())
    }

    fn is_refusal(&self, upstream: &ScriptedUpstream, error: Option<Error>) -> Verdict {
        let error = error.ok_or("an ability that is not declared was used instead of refused")?;
        is_kind(&error, &[ErrorKind::Unsupported])?;
        is_delivery(&error, &[Delivery::NotSent])?;
        let sent = upstream.requests().len();
        ensure!(
            sent == 0,
            "an ability that is not declared was refused after {sent} requests"
        );
        Ok(())
    }

    /// The requests that a call sent, of which there must be one at least.
    pub(super) fn sent(&self, upstream: &ScriptedUpstream) -> Verdict<Received> {
        upstream
            .requests()
            .pop()
            .ok_or_else(|| "nothing was sent".to_owned())
    }

    /// Keeps a client alive up to here, and it must still know who it is.
    pub(super) fn ask_nothing(&self, candidate: &Candidate) -> Verdict {
        ensure!(*candidate.chat.id() == self.id()?, "the client's id has changed");
        Ok(())
    }

    pub(super) fn id(&self) -> Verdict<ProviderId> {
        Ok(self.candidate("http://127.0.0.1:9")?.chat.id().clone())
    }
}

/// Polls something, giving the runtime turns in between; `None` if it is not ready after all of them.
pub(super) async fn turns<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    for _ in 0..TURNS {
        tokio::select! {
            biased;
            out = work.as_mut() => return Some(out),
            () = tokio::task::yield_now() => {}
        }
    }
    None
}

pub(super) async fn next(stream: &mut ChatStream) -> Option<Result<StreamEvent>> {
    poll_fn(|cx| stream.as_mut().poll_next(cx)).await
}

/// Reads a stream to its end and holds it to the grammar.
pub(super) async fn read(
    stream: &mut ChatStream,
    events: &mut Vec<StreamEvent>,
) -> Verdict<Result<ChatResponse>> {
    let mut fold = ChatFold::new();
    let outcome = loop {
        match next(stream).await {
            Some(Ok(event)) => {
                events.push(event.clone());
                if let Err(error) = fold.push(event) {
                    return Err(format!(
                        "the stream breaks the grammar: {error}; it was {events:?}"
                    ));
                }
                if events.last() == Some(&StreamEvent::End) {
                    break fold.finish().map(Ok);
                }
            }
            Some(Err(error)) => break Some(Err(error)),
            None => break None,
        }
    };
    let outcome =
        outcome.ok_or_else(|| format!("the stream stops without an end or an error: {events:?}"))?;
    ensure!(
        next(stream).await.is_none(),
        "something follows the end of the stream"
    );
    Ok(outcome)
}

impl Call {
    /// The answer, where there should be one.
    pub(super) fn answered(self) -> Verdict<ChatResponse> {
        let mode = self.mode;
        self.result
            .map_err(|error| format!("asked for {mode}: {error:?}"))
    }

    /// The error, where there should be one.
    pub(super) fn failed(self) -> Verdict<Error> {
        match self.result {
            Ok(answer) => Err(format!(
                "asked for {}: an answer instead of an error: {answer:?}",
                self.mode
            )),
            Err(error) => Ok(error),
        }
    }

    /// The text that was given out before an error.
    pub(super) fn text_so_far(&self) -> String {
        let text = |event: &StreamEvent| match event {
            StreamEvent::Content { text, .. } => Some(text.clone()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole => "the whole answer",
            Self::Pieces => "a stream",
        })
    }
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) fn is_kind(error: &Error, kinds: &[ErrorKind]) -> Verdict {
    ensure!(
        kinds.contains(&error.kind()),
        "expected one of {kinds:?}, found {error:?}"
    );
    Ok(())
}

pub(super) fn is_delivery(error: &Error, deliveries: &[Delivery]) -> Verdict {
    ensure!(
        deliveries.contains(&error.delivery()),
        "expected the delivery to be one of {deliveries:?}, found {error:?}"
    );
    Ok(())
}

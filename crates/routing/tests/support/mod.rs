//! Stand-ins for the tests of the executor.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::{StreamExt, poll};
use integration_core::chat::{ChatRequest, FinishReason, Message, StreamStart};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatStream, Clock, Error, ErrorKind, GenerationId,
    HealthReport, HealthStatus, IntegrationClient, ManualClock, ModelId, ProviderId, RateLimitFacts,
    RequestId, Result, RetryClass, StreamEvent, Usage,
};
use routing::{
    Admission, Attempt, AttemptGate, AttemptOutcome, AttemptResult, Executor, ExecutorConfig, Target,
};

pub fn provider() -> ProviderId {
    ProviderId::new("p").unwrap()
}

pub fn targets(names: &[&str]) -> Vec<Target> {
    names
        .iter()
        .map(|name| Target::new(provider(), ModelId::new(name).unwrap()))
        .collect()
}

pub fn request() -> ChatRequest {
    ChatRequest::new(ModelId::new("asked/for").unwrap(), vec![Message::user("hello")])
}

pub fn call_id() -> RequestId {
    RequestId::new("r-1").unwrap()
}

pub fn start(generation: &str) -> StreamEvent {
    let mut start = StreamStart::default();
    start.id = Some(GenerationId::new(generation).unwrap());
    start.model = Some("served-2026".to_owned());
    start.upstream = Some(integration_core::UpstreamName::new("Up Stream").unwrap());
    StreamEvent::Start(start)
}

pub fn text(text: &str) -> StreamEvent {
    StreamEvent::Content {
        choice: 0,
        text: text.to_owned(),
    }
}

pub fn finish() -> StreamEvent {
    StreamEvent::Finish {
        choice: 0,
        reason: FinishReason::Stop,
        native: None,
    }
}

pub fn usage(prompt: u64, completion: u64) -> StreamEvent {
    StreamEvent::Usage(Box::new(Usage::of_tokens(prompt, completion)))
}

/// A complete answer.
pub fn answer(says: &str) -> Vec<StreamEvent> {
    vec![
        start("gen-1"),
        text(says),
        finish(),
        usage(10, 5),
        StreamEvent::End,
    ]
}

/// How one call of a client goes.
#[derive(Debug)]
pub enum Play {
    /// An error before anything comes.
    Fail(Error),
    /// No answer, ever.
    Silence,
    /// Pieces, then the end of the stream.
    Events(Vec<StreamEvent>),
    /// Pieces, then an error.
    Breaks(Vec<StreamEvent>, Error),
    /// Pieces, then nothing, ever.
    Stalls(Vec<StreamEvent>),
    /// A beginning, and the same piece again and again, ever, with so much time before each.
    Keeps(StreamEvent, Duration, ManualClock),
    /// After so much time, pieces, then the end of the stream.
    Later(Duration, ManualClock, Vec<StreamEvent>),
}

pub fn fails(kind: ErrorKind) -> Play {
    Play::Fail(Error::new(kind, "scripted"))
}

/// What a client was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub attempt: u16,
    pub model: String,
    pub deadline: Option<std::time::Instant>,
    pub headers: Vec<(String, String)>,
}

/// Plays a script, call by call. With `pauses` every step is preceded by one that is not ready.
#[derive(Debug)]
pub struct Player {
    id: ProviderId,
    plays: Mutex<VecDeque<Play>>,
    pauses: bool,
    pub asked: Mutex<Vec<Asked>>,
    /// How many of its calls and streams are neither over nor dropped: its open connections.
    open: Arc<AtomicUsize>,
}

/// A connection, open until it is dropped.
struct Connection(Arc<AtomicUsize>);

impl Connection {
    fn open(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Player {
    pub fn new(plays: impl IntoIterator<Item = Play>) -> Arc<Self> {
        Self::with_pauses(plays, false)
    }

    pub fn with_pauses(plays: impl IntoIterator<Item = Play>, pauses: bool) -> Arc<Self> {
        Arc::new(Self {
            id: provider(),
            plays: Mutex::new(plays.into_iter().collect()),
            pauses,
            asked: Mutex::default(),
            open: Arc::default(),
        })
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub fn models(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|asked| asked.model.clone())
            .collect()
    }
}

#[async_trait]
impl IntegrationClient for Player {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn capabilities(&self) -> CapabilitySet {
        CapabilitySet::of(Capability::Chat)
    }

    async fn health(&self) -> HealthReport {
        HealthReport::new(self.id.clone(), HealthStatus::Healthy, SystemTime::UNIX_EPOCH)
    }
}

#[async_trait]
impl ChatClient for Player {
    async fn chat_stream(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatStream> {
        self.asked.lock().unwrap().push(Asked {
            attempt: cx.attempt,
            model: request.model.to_string(),
            deadline: cx.deadline,
            headers: cx.headers.clone(),
        });
        let connection = Connection::open(&self.open);
        pause(self.pauses).await;
        let play = self
            .plays
            .lock()
            .unwrap()
            .pop_front()
            .expect("the script has a play for every call");
        let (events, error, stalls) = match play {
            Play::Fail(error) => return Err(error),
            Play::Silence => std::future::pending().await,
            Play::Events(events) => (events, None, false),
            Play::Later(wait, clock, events) => {
                clock.sleep(wait).await;
                (events, None, false)
            }
            Play::Breaks(events, error) => (events, Some(error), false),
            Play::Stalls(events) => (events, None, true),
            Play::Keeps(event, every, clock) => {
                let pieces = futures_util::stream::repeat_with(move || event.clone());
                let pieces = futures_util::stream::iter([start("gen-0")]).chain(pieces);
                return Ok(Box::pin(pieces.then(move |event| {
                    let _held = &connection;
                    let wait = clock.sleep(every);
                    async move {
                        wait.await;
                        Ok(event)
                    }
                })));
            }
        };
        let items = events.into_iter().map(Ok).chain(error.map(Err)).collect();
        Ok(Box::pin(Items {
            items,
            stalls,
            pauses: self.pauses,
            paused: false,
            _connection: connection,
        }))
    }
}

async fn pause(pauses: bool) {
    let mut paused = !pauses;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Items {
    items: VecDeque<Result<StreamEvent>>,
    stalls: bool,
    pauses: bool,
    paused: bool,
    _connection: Connection,
}

impl Stream for Items {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.paused = self.pauses && !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.items.pop_front() {
            None if self.stalls => Poll::Pending,
            item => Poll::Ready(item),
        }
    }
}

#[derive(Debug, Default)]
pub struct Log {
    pub admitted: Vec<Attempt>,
    pub settled: Vec<(u16, AttemptOutcome)>,
    pub told: Vec<RateLimitFacts>,
    pub unsettled: usize,
}

/// Admits, or refuses from an attempt on, and keeps everything it is told.
#[derive(Debug, Default, Clone)]
pub struct Recorder {
    pub log: Arc<Mutex<Log>>,
    pub refuse_from: Option<u16>,
    /// A model at its rate limit.
    pub at_limit: Option<&'static str>,
    pub hangs: bool,
    pub pauses: bool,
}

impl Recorder {
    pub fn outcomes(&self) -> Vec<AttemptOutcome> {
        self.log
            .lock()
            .unwrap()
            .settled
            .iter()
            .map(|(_, outcome)| outcome.clone())
            .collect()
    }

    pub fn results(&self) -> Vec<&'static str> {
        let word = |outcome: &AttemptOutcome| match &outcome.result {
            AttemptResult::Complete => "complete",
            AttemptResult::Failed(failure) => failure.kind.as_str(),
            AttemptResult::Cancelled => "cancelled",
        };
        self.outcomes().iter().map(word).collect()
    }

    /// Every admission was settled, once, in order, but the last one, which is under way.
    pub fn assert_settled_but_one(&self) {
        let log = self.log.lock().unwrap();
        let admitted: Vec<_> = log.admitted.iter().map(|attempt| attempt.number).collect();
        let settled: Vec<_> = log.settled.iter().map(|(number, _)| *number).collect();
        assert_eq!(admitted.split_last().map(|(_, before)| before), Some(&*settled));
    }

    /// Every admission was settled, once, in order.
    pub fn assert_settled(&self) {
        let log = self.log.lock().unwrap();
        let admitted: Vec<_> = log.admitted.iter().map(|attempt| attempt.number).collect();
        let settled: Vec<_> = log.settled.iter().map(|(number, _)| *number).collect();
        assert_eq!(admitted, settled);
        assert_eq!(log.unsettled, 0, "an admission was dropped without being settled");
    }
}

#[async_trait]
impl AttemptGate for Recorder {
    async fn admit(&self, attempt: &Attempt) -> Result<Box<dyn Admission>> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        pause(self.pauses).await;
        if self.refuse_from.is_some_and(|from| attempt.number >= from) {
            return Err(
                Error::new(ErrorKind::Billing, "the budget is spent").with_retry_class(RetryClass::Never)
            );
        }
        if self.at_limit == Some(attempt.target.model.as_str()) {
            return Err(Error::new(ErrorKind::RateLimited, "no more calls this minute"));
        }
        self.log.lock().unwrap().admitted.push(attempt.clone());
        Ok(Box::new(Recorded {
            log: Arc::clone(&self.log),
            number: attempt.number,
            settled: false,
        }))
    }
}

struct Recorded {
    log: Arc<Mutex<Log>>,
    number: u16,
    settled: bool,
}

impl Admission for Recorded {
    fn told(&mut self, facts: &RateLimitFacts) {
        self.log.lock().unwrap().told.push(facts.clone());
    }

    fn settle(mut self: Box<Self>, outcome: &AttemptOutcome) {
        self.settled = true;
        self.log
            .lock()
            .unwrap()
            .settled
            .push((self.number, outcome.clone()));
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.settled {
            self.log.lock().unwrap().unsettled += 1;
        }
    }
}

pub fn executor(client: &Arc<Player>, clock: &ManualClock, config: ExecutorConfig) -> Executor {
    let client: Arc<dyn ChatClient> = Arc::clone(client) as _;
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    Executor::new([client], clock, config)
}

/// Polls a call once, then lets the time pass.
pub async fn after<T>(call: impl Future<Output = T>, clock: &ManualClock, passes: Duration) -> T {
    tokio::join!(call, async { clock.advance(passes) }).0
}

/// Lets time pass, timer by timer, until a call is over.
pub async fn drive<T>(clock: &ManualClock, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    loop {
        if let Poll::Ready(done) = poll!(call.as_mut()) {
            return done;
        }
        assert!(clock.advance_to_next(), "the call waits for nothing");
    }
}

/// The pieces of a stream that does not fail.
pub fn events(items: Vec<Result<StreamEvent>>) -> Vec<StreamEvent> {
    items.into_iter().map(|item| item.unwrap()).collect()
}

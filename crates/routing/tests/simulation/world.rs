//! Providers, callers and time, all made up, around a real executor and a real router.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use costing::{PriceBook, UtcTime};
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{StreamExt, future, poll};
use integration_core::chat::{ChatRequest, FinishReason, Message, StreamStart};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatStream, Clock, Delivery, Error, ErrorKind,
    HealthReport, HealthStatus, IntegrationClient, ManualClock, ModelId, ProviderId, RequestId, Result,
    StreamEvent, Usage,
};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use routing::{
    Admission, Attempt, AttemptGate, AttemptOutcome, Call, Dice, EventQueue, Executor, ExecutorConfig,
    FactBook, QualityBook, RouteRequest, Router, Scratch, Snapshot, Target, Task, strategy,
};

use crate::watch::Watch;

/// How a host behaves for a while.
#[derive(Debug, Clone, Copy)]
pub enum Weather {
    /// It answers, first in about 200 ms.
    Fine,
    /// It answers, first in about 2 s.
    Slow,
    /// Nobody takes the connection.
    Refuses,
    /// The connection is taken, and nothing ever comes.
    Hangs,
    /// It refuses within 2 ms, since it was asked too often.
    Limits(Option<Duration>),
    /// So many calls fail with a status of 5xx.
    Fails(f64),
    /// So many streams break, before or after their first content.
    Breaks(f64),
}

/// One simulation.
#[derive(Debug, Clone)]
pub struct Setup {
    pub seed: u64,
    /// For each host, from when on the weather is how. The first begins at zero. The first host is the cheapest.
    pub hosts: Vec<Vec<(Duration, Weather)>>,
    pub calls: usize,
    pub per_second: f64,
    pub strategy: &'static str,
    pub config: ExecutorConfig,
    /// How many callers hang up within three seconds.
    pub hang_ups: f64,
}

impl Setup {
    /// A hundred calls a second to the cheapest host that is not left alone.
    pub fn new(seed: u64, hosts: &[Weather], calls: usize) -> Self {
        Self {
            seed,
            hosts: hosts
                .iter()
                .map(|weather| vec![(Duration::ZERO, *weather)])
                .collect(),
            calls,
            per_second: 100.0,
            strategy: "cheapest",
            config: ExecutorConfig::new(4, Duration::from_secs(60))
                .with_attempt_timeout(Duration::from_secs(5))
                .with_seed(seed),
            hang_ups: 0.0,
        }
    }
}

/// How one call went.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub took: Duration,
    pub answered: bool,
    pub hung_up: bool,
}

/// One attempt as its host saw it.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub at: Duration,
    pub host: usize,
}

/// What came of a simulation.
#[derive(Debug)]
pub struct Run {
    pub ends: Vec<End>,
    pub sent: Vec<Sent>,
    /// When hosts were ejected, in order.
    pub ejected: Vec<(usize, Duration)>,
    /// How many attempts were made only because everybody was left alone.
    pub last_resorts: usize,
    pub lasted: Duration,
}

impl Run {
    pub fn failed(&self) -> usize {
        self.ends
            .iter()
            .filter(|end| !end.answered && !end.hung_up)
            .count()
    }
}

#[derive(Debug, Default)]
struct Seen {
    sent: Vec<Sent>,
    admitted: usize,
    settled: usize,
    unsettled: usize,
    /// For each host, until when it told us last to leave it alone, by its own account.
    told: BTreeMap<usize, Duration>,
    /// Attempts that came before that.
    early: Vec<(String, u16)>,
}

#[derive(Debug)]
struct World {
    setup: Setup,
    clock: ManualClock,
    origin: Instant,
    dice: Mutex<Dice>,
    seen: Arc<Mutex<Seen>>,
    /// By call: how many attempts it made.
    attempts: Mutex<BTreeMap<String, u16>>,
}

impl World {
    fn now(&self) -> Duration {
        self.clock.now() - self.origin
    }

    fn unit(&self) -> f64 {
        self.dice.lock().unwrap().unit()
    }

    /// A number of milliseconds about this one.
    fn about(&self, ms: f64) -> Duration {
        Duration::from_secs_f64(ms * (0.5 + self.unit()) / 1_000.0)
    }

    fn weather(&self, host: usize) -> Weather {
        let now = self.now();
        let passed = self.setup.hosts[host].iter().rev().find(|(from, _)| *from <= now);
        passed.expect("the first weather begins at zero").1
    }
}

impl World {
    fn was_sent(&self, host: usize, cx: &CallContext) {
        let at = self.now();
        let mut seen = self.seen.lock().unwrap();
        seen.sent.push(Sent { at, host });
        if seen.told.get(&host).is_some_and(|until| at < *until) {
            seen.early.push((cx.request.to_string(), cx.attempt));
        }
    }
}

/// A host.
#[derive(Debug)]
struct Host {
    id: ProviderId,
    at: usize,
    world: Arc<World>,
}

#[async_trait]
impl IntegrationClient for Host {
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

fn text() -> StreamEvent {
    StreamEvent::Content {
        choice: 0,
        text: "word ".to_owned(),
    }
}

type Step = (Duration, Option<Result<StreamEvent>>);

#[async_trait]
impl ChatClient for Host {
    async fn chat_stream(&self, cx: &CallContext, _: &ChatRequest) -> Result<ChatStream> {
        let world = &self.world;
        world.was_sent(self.at, cx);
        *world
            .attempts
            .lock()
            .unwrap()
            .entry(cx.request.to_string())
            .or_default() += 1;
        let mut first = 200.0;
        let mut steps: Vec<Step> = Vec::new();
        let broken = Error::new(ErrorKind::Upstream, "the stream broke").with_delivery(Delivery::Partial);
        match world.weather(self.at) {
            Weather::Refuses => {
                return Err(Error::new(ErrorKind::Transport, "connection refused"));
            }
            Weather::Hangs => {
                if world.unit() < 0.5 {
                    return future::pending().await;
                }
                steps.push((
                    Duration::ZERO,
                    Some(Ok(StreamEvent::Start(StreamStart::default()))),
                ));
                steps.push((Duration::ZERO, None));
            }
            Weather::Limits(wait) => {
                world.clock.sleep(world.about(2.0)).await;
                let mut error =
                    Error::new(ErrorKind::RateLimited, "slow down").with_delivery(Delivery::Answered);
                if let Some(wait) = wait {
                    let until = world.now() + wait;
                    let told = &mut world.seen.lock().unwrap().told;
                    let told = told.entry(self.at).or_default();
                    *told = until.max(*told);
                    error = error.with_retry_after(wait);
                }
                return Err(error);
            }
            Weather::Fails(share) if world.unit() < share => {
                world.clock.sleep(world.about(20.0)).await;
                return Err(Error::new(ErrorKind::Upstream, "oops").with_delivery(Delivery::Answered));
            }
            Weather::Breaks(share) if world.unit() < share => {
                if world.unit() < 0.5 {
                    steps.push((world.about(first), Some(Ok(text()))));
                }
                steps.push((world.about(first), Some(Err(broken))));
            }
            Weather::Slow => first = 2_000.0,
            Weather::Fine | Weather::Fails(_) | Weather::Breaks(_) => {}
        }
        if steps.is_empty() {
            let finish = StreamEvent::Finish {
                choice: 0,
                reason: FinishReason::Stop,
                native: None,
            };
            steps = vec![
                (
                    Duration::ZERO,
                    Some(Ok(StreamEvent::Start(StreamStart::default()))),
                ),
                (world.about(first), Some(Ok(text()))),
                (world.about(100.0), Some(Ok(text()))),
                (world.about(100.0), Some(Ok(finish))),
                (
                    Duration::ZERO,
                    Some(Ok(StreamEvent::Usage(Box::new(Usage::of_tokens(10, 2))))),
                ),
                (Duration::ZERO, Some(Ok(StreamEvent::End))),
            ];
        }
        let clock = world.clock.clone();
        Ok(Box::pin(stream::iter(steps).then(move |(wait, item)| {
            let sleep = clock.sleep(wait);
            async move {
                sleep.await;
                match item {
                    Some(item) => item,
                    None => future::pending().await,
                }
            }
        })))
    }
}

/// Admits everything and counts.
#[derive(Debug)]
struct Counter(Arc<Mutex<Seen>>);

struct Counted {
    seen: Arc<Mutex<Seen>>,
    settled: bool,
}

#[async_trait]
impl AttemptGate for Counter {
    async fn admit(&self, _: &Attempt) -> Result<Box<dyn Admission>> {
        self.0.lock().unwrap().admitted += 1;
        Ok(Box::new(Counted {
            seen: Arc::clone(&self.0),
            settled: false,
        }))
    }
}

impl Admission for Counted {
    fn settle(mut self: Box<Self>, _: &AttemptOutcome) {
        self.settled = true;
        self.seen.lock().unwrap().settled += 1;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.settled {
            self.seen.lock().unwrap().unsettled += 1;
        }
    }
}

fn provider(host: usize) -> ProviderId {
    ProviderId::new(format!("host-{host}")).unwrap()
}

/// A snapshot with the same model at every host, the first host being the cheapest.
fn snapshot(hosts: usize) -> Snapshot {
    let parts: Vec<_> = (0..hosts)
        .map(|host| {
            let mut record = ModelRecord::new(ModelId::new("a/model").unwrap());
            let price = format!("0.00000{}", host + 1);
            record.prices = PriceStrings::new([("prompt", price.as_str()), ("completion", price.as_str())]);
            record.benchmarks = Benchmarks::new(Some(50.0), None, None);
            record.output_modalities = vec!["text".to_owned()];
            record.context_length = Some(100_000);
            let catalogue = Catalogue::new("2026-08-22", provider(host), vec![record]).unwrap();
            let (prices, _) = PriceBook::from_catalogue(&catalogue);
            (catalogue, prices)
        })
        .collect();
    let quality = QualityBook::from_catalogue(&parts[0].0);
    let parts: Vec<_> = parts
        .iter()
        .map(|(catalogue, prices)| (catalogue, prices))
        .collect();
    Snapshot::with_parts(&parts, &quality, &FactBook::new())
}

/// Which host a target is at.
pub fn host(target: &Target) -> usize {
    let number = target.provider.as_str().trim_start_matches("host-");
    number.parse().expect("hosts are numbered")
}

/// Runs a simulation to its end, and holds at every step what must hold at every step.
pub fn run(setup: Setup) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(simulate(setup))
}

async fn simulate(setup: Setup) -> Run {
    let clock = ManualClock::new();
    let world = Arc::new(World {
        clock: clock.clone(),
        origin: clock.now(),
        dice: Mutex::new(Dice::new(setup.seed)),
        seen: Arc::default(),
        attempts: Mutex::default(),
        setup,
    });
    let setup = &world.setup;
    let clients = (0..setup.hosts.len()).map(|at| {
        let host = Host {
            id: provider(at),
            at,
            world: Arc::clone(&world),
        };
        Arc::new(host) as Arc<dyn ChatClient>
    });
    let events = Arc::new(EventQueue::new(1 << 20));
    let executor = Executor::new(clients, Arc::new(clock.clone()), setup.config.clone())
        .with_observer(Arc::clone(&events));
    let router = Router::new(snapshot(setup.hosts.len()), Arc::clone(executor.live()));
    let mut watch = Watch::new(setup);
    let mut ends = Vec::with_capacity(setup.calls);
    {
        let mut all = pin!(traffic(&world, &executor, &router, &mut ends));
        while poll!(all.as_mut()).is_pending() {
            watch.take(events.drain(), world.now(), clock.now());
            assert!(clock.advance_to_next(), "everything waits, for nothing");
        }
    }
    watch.take(events.drain(), world.now(), clock.now());
    assert_eq!(events.dropped(), 0);
    let seen = std::mem::take(&mut *world.seen.lock().unwrap());
    assert_eq!(seen.unsettled, 0, "an admission was dropped unsettled");
    assert_eq!((seen.admitted, seen.settled), (seen.sent.len(), seen.sent.len()));
    for early in &seen.early {
        assert!(
            watch.last_resorts().contains(early),
            "{early:?} came to a host that said when to come"
        );
    }
    for live in router.view().live().lives() {
        assert_eq!(
            live.reading(clock.now()).in_flight,
            0,
            "somebody is under way for ever"
        );
    }
    let most = setup.config.max_attempts;
    for (call, attempts) in &*world.attempts.lock().unwrap() {
        assert!(*attempts <= most, "{call} made {attempts} attempts of {most}");
    }
    for end in &ends {
        assert!(end.took <= setup.config.deadline, "a call took {:?}", end.took);
    }
    assert_eq!(ends.len(), setup.calls);
    Run {
        ends,
        sent: seen.sent,
        ejected: watch.ejected(),
        last_resorts: watch.last_resorts().len(),
        lasted: world.now(),
    }
}

/// All calls, each when its time has come.
async fn traffic(world: &World, executor: &Executor, router: &Router, ends: &mut Vec<End>) {
    let gate: Arc<dyn AttemptGate> = Arc::new(Counter(Arc::clone(&world.seen)));
    let request = ChatRequest::new(ModelId::new("a/model").unwrap(), vec![Message::user("hello")]);
    let mut scratch = Scratch::new();
    let mut calls = FuturesUnordered::new();
    for number in 0..world.setup.calls {
        // Exponential gaps: calls know nothing of each other.
        let gap = -(1.0 - world.unit()).ln() / world.setup.per_second;
        let mut gap = world.clock.sleep(Duration::from_secs_f64(gap));
        loop {
            match future::select(&mut gap, calls.next()).await {
                future::Either::Left(_) => break,
                future::Either::Right((Some(end), _)) => ends.push(end),
                future::Either::Right((None, _)) => {
                    gap.await;
                    break;
                }
            }
        }
        let mut route = RouteRequest::new(Task::Reasoning, UtcTime::from_unix(1_787_400_000));
        route.strategy = strategy(world.setup.strategy).unwrap();
        route.seed = world.setup.seed.wrapping_mul(1 << 20).wrapping_add(number as u64);
        let view = router.view();
        let targets: Vec<Target> = view
            .decide(&route, world.clock.now(), &mut scratch)
            .targets()
            .cloned()
            .collect();
        calls.push(one_call(
            world,
            executor,
            &request,
            Arc::clone(&gate),
            targets,
            number,
        ));
    }
    while let Some(end) = calls.next().await {
        ends.push(end);
    }
}

async fn one_call(
    world: &World,
    executor: &Executor,
    request: &ChatRequest,
    gate: Arc<dyn AttemptGate>,
    targets: Vec<Target>,
    number: usize,
) -> End {
    let begun = world.now();
    let id = RequestId::new(format!("{}-{number}", targets.len())).unwrap();
    let call = Call::new(id, &targets, request).with_gate(gate);
    let whole = world.unit() < 0.25;
    let patience = (world.unit() < world.setup.hang_ups).then(|| Duration::from_secs_f64(3.0 * world.unit()));
    let asked = async {
        if whole {
            return executor.chat(call).await.is_ok();
        }
        let Ok(mut streamed) = executor.stream(call).await else {
            return false;
        };
        let mut ended = false;
        while let Some(event) = streamed.stream.next().await {
            match event {
                Ok(event) => ended = matches!(event, StreamEvent::End),
                Err(_) => return false,
            }
        }
        ended
    };
    let (answered, hung_up) = match patience {
        None => (asked.await, false),
        Some(patience) => {
            let patience = world.clock.sleep(patience);
            match future::select(pin!(asked), patience).await {
                future::Either::Left((answered, _)) => (answered, false),
                future::Either::Right(_) => (false, true),
            }
        }
    };
    End {
        took: world.now() - begun,
        answered,
        hung_up,
    }
}

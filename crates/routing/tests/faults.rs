//! What the executor does about networks, servers and accounts that fail, fault by fault.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use costing::{PriceBook, UtcTime};
use futures_util::StreamExt;
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatRequest, ChatStream, Clock, Delivery, Error,
    ErrorKind, HealthReport, HealthStatus, IntegrationClient, ManualClock, ModelId, ProviderId,
};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use rate_limits::{LimitRules, Limits, RateLimiter, TokenEstimate};
use routing::{
    AttemptResult, BreakerConfig, Call, Dice, Executor, ExecutorConfig, LimitGate, RetryBudgetConfig,
    RouteRequest, Router, Scratch, Snapshot, Standing, Target, Task, strategy,
};
use support::*;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> ExecutorConfig {
    ExecutorConfig::new(4, 60 * SECOND).with_retries(0)
}

/// A budget that is spent: what needs it is not done.
fn broke() -> RetryBudgetConfig {
    RetryBudgetConfig::new(0.0, 0.0)
}

/// One model of a provider.
#[derive(Debug, Clone, Copy)]
struct Host {
    /// How long its answer or its failure takes.
    takes: Duration,
    /// How often it fails, 0 to 1.
    fails: f64,
    error: fn() -> Error,
}

impl Host {
    const fn good(takes: Duration) -> Self {
        Self {
            takes,
            fails: 0.0,
            error: upstream,
        }
    }

    const fn bad(takes: Duration, fails: f64, error: fn() -> Error) -> Self {
        Self { takes, fails, error }
    }
}

fn upstream() -> Error {
    Error::new(ErrorKind::Upstream, "internal error")
        .with_status(500)
        .with_delivery(Delivery::Answered)
}

fn too_many() -> Error {
    Error::new(ErrorKind::RateLimited, "slow down")
        .with_status(429)
        .with_delivery(Delivery::Answered)
}

/// What a transport says of a dial that nobody answers.
fn black_hole() -> Error {
    Error::new(ErrorKind::Timeout, "no connection in time").with_code("connect")
}

/// What a transport says of a kept connection that closed before the request was on it.
fn never_processed() -> Error {
    Error::new(ErrorKind::Transport, "the connection broke: closed")
}

/// A provider whose models each have a manner of their own. The same seed gives the same failures.
#[derive(Debug)]
struct Hosts {
    id: ProviderId,
    clock: ManualClock,
    hosts: BTreeMap<&'static str, Host>,
    dice: Mutex<Dice>,
    asked: Mutex<Vec<String>>,
}

impl Hosts {
    fn new(clock: &ManualClock, hosts: impl IntoIterator<Item = (&'static str, Host)>) -> Arc<Self> {
        Arc::new(Self {
            id: provider(),
            clock: clock.clone(),
            hosts: hosts.into_iter().collect(),
            dice: Mutex::new(Dice::new(9)),
            asked: Mutex::default(),
        })
    }

    fn executor(self: &Arc<Self>, config: ExecutorConfig) -> Executor {
        let client: Arc<dyn ChatClient> = Arc::clone(self) as _;
        Executor::new([client], Arc::new(self.clock.clone()), config)
    }

    fn times(&self, model: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == model).count()
    }

    fn all(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl IntegrationClient for Hosts {
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
impl ChatClient for Hosts {
    async fn chat_stream(
        &self,
        _: &CallContext,
        request: &ChatRequest,
    ) -> integration_core::Result<ChatStream> {
        self.asked.lock().unwrap().push(request.model.to_string());
        let host = self.hosts[request.model.as_str()];
        let fails = self.dice.lock().unwrap().unit() < host.fails;
        self.clock.sleep(host.takes).await;
        if fails {
            return Err((host.error)());
        }
        Ok(Box::pin(futures_util::stream::iter(
            answer("hi").into_iter().map(Ok),
        )))
    }
}

/// A limiter's gate for one call of ten tokens, over a gate that records.
fn limited(limiter: &RateLimiter, gate: &Recorder) -> Arc<LimitGate> {
    let limiters = Arc::new(BTreeMap::from([(provider(), limiter.clone())]));
    Arc::new(LimitGate::new(
        limiters,
        TokenEstimate::new(10, 0),
        Arc::new(gate.clone()),
    ))
}

#[tokio::test]
async fn f02_a_dial_that_nobody_answers_leaves_time_for_the_next_target_and_owes_nothing() {
    for stream in [false, true] {
        let clock = ManualClock::new();
        let hosts = Hosts::new(
            &clock,
            [
                ("a/1", Host::bad(5 * SECOND, 1.0, black_hole)),
                ("b/2", Host::good(SECOND)),
            ],
        );
        let executor = hosts.executor(config());
        // One call a minute is all that the first may be asked.
        let rules =
            LimitRules::new().with("a/1".parse().unwrap(), Limits::none().with_requests_per_minute(1));
        let limiter = RateLimiter::new(rules, Arc::new(clock.clone()));
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let first = executor.live().of(&targets[0]);
        for _ in 0..5 {
            assert_eq!(first.standing(clock.now()).0, Standing::Admits);
            let call = Call::new(call_id(), &targets, &request)
                .with_gate(limited(&limiter, &gate))
                .with_deadline(10 * SECOND);
            let begun = clock.now();
            let (target, attempts) = if stream {
                let streamed = drive(&clock, executor.stream(call)).await.unwrap();
                assert_eq!(events(streamed.stream.collect().await), answer("hi"));
                (streamed.target, streamed.attempts)
            } else {
                let answer = drive(&clock, executor.chat(call)).await.unwrap();
                (answer.target, answer.attempts)
            };
            assert_eq!((&target, clock.now() - begun), (&targets[1], 6 * SECOND));
            let error = attempts[0].error.as_ref().unwrap();
            assert_eq!(
                (error.kind(), error.code(), error.delivery()),
                (ErrorKind::Timeout, Some("connect"), Delivery::NotSent)
            );
        }
        // All within a minute: what was never sent is given back.
        assert_eq!(hosts.times("a/1"), 5);
        assert!(matches!(first.standing(clock.now()).0, Standing::Ejected(_)));
        gate.assert_settled();
        for outcome in gate.outcomes().iter().step_by(2) {
            let AttemptResult::Failed(failure) = &outcome.result else {
                panic!("{outcome:?}")
            };
            assert_eq!((failure.delivery, &outcome.usage), (Delivery::NotSent, &None));
        }
    }
}

#[tokio::test]
async fn f02_what_is_surely_not_sent_may_be_asked_again_where_nobody_else_is() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Fail(black_hole()), Play::Events(answer("hi"))]);
    let (only, request) = (targets(&["a/1"]), request());
    let executor = executor(&client, &clock, config().with_retries(1));
    let answer = drive(&clock, executor.chat(Call::new(call_id(), &only, &request)))
        .await
        .unwrap();
    assert_eq!(answer.attempts.len(), 2);
}

#[tokio::test]
async fn f06_an_account_without_money_is_left_for_another_and_not_asked_again() {
    let no_money = || {
        Error::new(ErrorKind::Billing, "insufficient credits")
            .with_status(402)
            .with_delivery(Delivery::Answered)
    };
    let clock = ManualClock::new();
    let client = Player::new([
        Play::Fail(no_money()),
        Play::Events(answer("hi")),
        Play::Fail(no_money()),
    ]);
    let gate = Recorder::default();
    let (both, request) = (targets(&["a/1", "b/2"]), request());
    // It is no matter of load, and so needs no budget.
    let executor = executor(
        &client,
        &clock,
        config().with_retries(3).with_retry_budget(broke()),
    );
    let call = |targets| Call::new(call_id(), targets, &request).with_gate(Arc::new(gate.clone()));
    let answer = executor.chat(call(&both)).await.unwrap();
    assert_eq!((&answer.target, answer.attempts.len()), (&both[1], 2));
    // Alone it is asked once, and the caller is told.
    let exhausted = executor.chat(call(&both[..1])).await.unwrap_err();
    assert_eq!(client.models(), ["a/1", "b/2", "a/1"]);
    assert_eq!(
        (exhausted.error.kind(), exhausted.error.status()),
        (ErrorKind::Billing, Some(402))
    );
    assert_eq!(exhausted.error.message(), "insufficient credits");
    assert!(clock.requested_sleeps().iter().all(|wait| *wait == 60 * SECOND));
    gate.assert_settled();
}

#[tokio::test]
async fn f06_money_that_calls_under_way_hold_is_waited_for() {
    // As the client reads a 402 whose reason is `in_flight_budget_exhausted`.
    let held = Error::new(ErrorKind::RateLimited, "money is held")
        .with_status(402)
        .with_delivery(Delivery::Answered)
        .with_retry_after(2 * SECOND);
    let clock = ManualClock::new();
    let client = Player::new([Play::Fail(held), Play::Events(answer("hi"))]);
    let gate = Recorder::default();
    let (only, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &only, &request).with_gate(Arc::new(gate.clone()));
    let begun = clock.now();
    let executor = executor(&client, &clock, config().with_retries(1));
    let answer = drive(&clock, executor.chat(call)).await.unwrap();
    assert_eq!((answer.attempts.len(), client.models().len()), (2, 2));
    let waited = clock.now() - begun;
    assert!(waited >= 2 * SECOND && waited <= 3 * SECOND, "{waited:?}");
    gate.assert_settled();
}

#[tokio::test]
async fn f07_a_guardrail_or_a_key_s_budget_is_not_tried_again_and_its_message_is_kept() {
    for (kind, message) in [
        (ErrorKind::PermissionDenied, "Key limit exceeded (daily limit)"),
        (
            ErrorKind::ContentFiltered,
            "refused by the guardrail: patterns matched",
        ),
    ] {
        let forbidden = || {
            Error::new(kind, message)
                .with_status(403)
                .with_delivery(Delivery::Answered)
        };
        let clock = ManualClock::new();
        let client = Player::new([Play::Fail(forbidden()), Play::Fail(forbidden())]);
        let gate = Recorder::default();
        let (both, request) = (targets(&["a/1", "b/2"]), request());
        let executor = executor(
            &client,
            &clock,
            config().with_retries(3).with_retry_budget(broke()),
        );
        let call = Call::new(call_id(), &both, &request).with_gate(Arc::new(gate.clone()));
        let exhausted = executor.chat(call).await.unwrap_err();
        assert_eq!(client.models(), ["a/1", "b/2"], "{kind}: each once");
        assert_eq!(
            (exhausted.error.message(), exhausted.error.status()),
            (message, Some(403))
        );
        let first = exhausted.attempts[0].error.as_ref().unwrap();
        assert_eq!(first.message(), message);
        for outcome in gate.outcomes() {
            let AttemptResult::Failed(failure) = outcome.result else {
                panic!("{outcome:?}")
            };
            assert_eq!(failure.message, message);
        }
        // It says nothing against the deployment.
        for target in &both {
            let reading = executor.live().of(target).reading(clock.now());
            assert_eq!((reading.error_rate, reading.cooling), (None, false));
        }
    }
}

/// Asks again and again, with so much time between calls. How many were answered.
async fn answered(
    hosts: &Arc<Hosts>,
    executor: &Executor,
    targets: &[Target],
    calls: usize,
    pace: Duration,
) -> usize {
    let request = request();
    let mut answered = 0;
    for _ in 0..calls {
        let call = Call::new(call_id(), targets, &request);
        answered += usize::from(drive(&hosts.clock, executor.chat(call)).await.is_ok());
        hosts.clock.advance(pace);
    }
    answered
}

#[tokio::test]
async fn f09_of_servers_that_fail_every_other_time_three_attempts_answer_seven_of_eight() {
    const CALLS: usize = 10_000;
    let clock = ManualClock::new();
    let moment = Duration::from_millis(10);
    let flaky = Host::bad(moment, 0.5, upstream);
    let hosts = Hosts::new(&clock, [("a/1", flaky), ("b/2", flaky), ("c/3", flaky)]);
    // Breakers apart: five failures in a row are no rarity here, and this is about attempts and their budget. Half of the calls
    // need one more attempt, a quarter two.
    let mut breaker = BreakerConfig::default();
    breaker.failures = u32::MAX;
    for (share, least) in [(0.9, 0.875), (0.1, 0.5)] {
        let config = ExecutorConfig::new(3, 60 * SECOND)
            .with_breaker(breaker)
            .with_retry_budget(RetryBudgetConfig::new(share, 0.0));
        let executor = hosts.executor(config);
        let targets = targets(&["a/1", "b/2", "c/3"]);
        let before = hosts.all();
        let answered = answered(&hosts, &executor, &targets, CALLS, moment).await as f64 / CALLS as f64;
        let extra = (hosts.all() - before - CALLS) as f64 / CALLS as f64;
        // Less what chance may take: three standard deviations of so many calls.
        assert!(answered >= least - 0.015, "{answered} with {share}");
        assert!(extra <= share, "{extra} more, and {share} is allowed");
    }
}

#[tokio::test]
async fn f09_one_of_three_servers_that_fails_every_other_time_costs_no_answer() {
    const CALLS: usize = 1_000;
    let clock = ManualClock::new();
    let moment = Duration::from_millis(100);
    let hosts = Hosts::new(
        &clock,
        [
            ("a/1", Host::bad(moment, 0.5, upstream)),
            ("b/2", Host::good(moment)),
            ("c/3", Host::good(moment)),
        ],
    );
    let executor = hosts.executor(ExecutorConfig::default());
    let targets = targets(&["a/1", "b/2", "c/3"]);
    assert_eq!(answered(&hosts, &executor, &targets, CALLS, SECOND).await, CALLS);
    // Now and then it fails five times in a row, and is left alone for longer each time.
    assert!(hosts.times("a/1") < CALLS / 2, "{}", hosts.times("a/1"));
}

fn record(id: &str) -> ModelRecord {
    let mut record = ModelRecord::new(ModelId::new(id).unwrap());
    record.prices = PriceStrings::new([("prompt", "0.000001"), ("completion", "0.000001")]);
    record.benchmarks = Benchmarks::new(Some(50.0), None, None);
    record.output_modalities = vec!["text".to_owned()];
    record.context_length = Some(100_000);
    record
}

/// Decides by `lowest-latency` with what the executor has seen, and asks whom that names. How many calls were answered, and how
/// often each model was the first choice.
async fn by_latency(
    hosts: &Arc<Hosts>,
    executor: &Executor,
    models: &[&'static str],
    calls: u64,
    pace: Duration,
) -> (u64, BTreeMap<String, u64>) {
    let records = models.iter().map(|model| record(model)).collect();
    let catalogue = Catalogue::new("2026-08-22", provider(), records).unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    let router = Router::new(Snapshot::new(&catalogue, &prices), Arc::clone(executor.live()));
    let mut wanted = RouteRequest::new(Task::Reasoning, UtcTime::from_unix(1_787_400_000));
    wanted.strategy = strategy("lowest-latency").unwrap();
    let request = request();
    let (mut answered, mut chosen) = (0, BTreeMap::new());
    for seed in 0..calls {
        wanted.seed = seed;
        let view = router.view();
        let mut scratch = Scratch::new();
        let targets: Vec<_> = view
            .decide(&wanted, hosts.clock.now(), &mut scratch)
            .targets()
            .cloned()
            .collect();
        *chosen.entry(targets[0].model.to_string()).or_insert(0) += 1;
        let call = Call::new(call_id(), &targets, &request);
        if let Ok(streamed) = drive(&hosts.clock, executor.stream(call)).await {
            let _ = events(streamed.stream.collect().await);
            answered += 1;
        }
        hosts.clock.advance(pace);
    }
    (answered, chosen)
}

#[tokio::test]
async fn f09_the_choice_by_latency_moves_away_from_the_server_that_fails() {
    let clock = ManualClock::new();
    let took = Duration::from_millis(300);
    let models = ["a/flaky", "b/good", "c/good"];
    let hosts = Hosts::new(
        &clock,
        [
            (models[0], Host::bad(took, 0.5, upstream)),
            (models[1], Host::good(took)),
            (models[2], Host::good(took)),
        ],
    );
    let executor = hosts.executor(ExecutorConfig::new(3, 60 * SECOND));
    let (answered, chosen) = by_latency(&hosts, &executor, &models, 1_000, Duration::from_millis(700)).await;
    assert_eq!(answered, 1_000);
    // A third would be its share, were it not known.
    assert!(chosen["a/flaky"] < 50, "{chosen:?}");
    assert!(chosen["b/good"] > 300 && chosen["c/good"] > 300, "{chosen:?}");
}

#[tokio::test]
async fn f10_calls_move_from_a_server_that_refuses_fast_to_a_slow_one_that_answers() {
    let models = ["a/refuses", "b/slow"];
    let mut no_cooldown = BreakerConfig::default();
    no_cooldown.cooldown = Duration::ZERO;
    no_cooldown.longest_cooldown = Duration::ZERO;
    // With cooldowns, and by what its failures count as alone.
    for (breaker, most) in [(BreakerConfig::default(), 60), (no_cooldown, 250)] {
        let clock = ManualClock::new();
        let hosts = Hosts::new(
            &clock,
            [
                (models[0], Host::bad(Duration::from_millis(10), 1.0, too_many)),
                (models[1], Host::good(2 * SECOND)),
            ],
        );
        let executor = hosts.executor(ExecutorConfig::new(3, 60 * SECOND).with_breaker(breaker));
        let (answered, chosen) =
            by_latency(&hosts, &executor, &models, 1_000, Duration::from_millis(100)).await;
        assert_eq!(answered, 1_000);
        // By its speed alone all of them would be its.
        assert!(chosen["a/refuses"] < most, "{chosen:?}");
    }
}

#[tokio::test]
async fn f59_what_a_closed_connection_never_took_is_sent_once_more_to_the_same_target() {
    for stream in [false, true] {
        let clock = ManualClock::new();
        let client = Player::new([Play::Fail(never_processed()), Play::Events(answer("hi"))]);
        let gate = Recorder::default();
        let (only, request) = (targets(&["a/1"]), request());
        let call = Call::new(call_id(), &only, &request).with_gate(Arc::new(gate.clone()));
        let executor = executor(&client, &clock, config().with_retries(1));
        let begun = clock.now();
        if stream {
            let streamed = drive(&clock, executor.stream(call)).await.unwrap();
            assert_eq!(events(streamed.stream.collect().await), answer("hi"));
        } else {
            let answer = drive(&clock, executor.chat(call)).await.unwrap();
            assert_eq!(answer.response.text(), "hi");
        }
        assert!(clock.now() - begun <= Duration::from_millis(50));
        assert_eq!(client.models(), ["a/1", "a/1"]);
        gate.assert_settled();
        assert_eq!(gate.results(), ["transport", "complete"]);
    }
}

#[tokio::test]
async fn f59_it_is_sent_again_once_only_within_the_budget_and_never_if_it_may_have_been_taken() {
    let taken = || never_processed().with_delivery(Delivery::MaybeSent);
    let (usual, none) = (RetryBudgetConfig::default(), broke());
    for (error, budget, made) in [
        (never_processed(), usual, 2),
        (never_processed(), none, 1),
        (taken(), usual, 1),
    ] {
        let clock = ManualClock::new();
        let name = format!("{error:?} {budget:?}");
        let client = Player::new([
            Play::Fail(error),
            Play::Fail(never_processed()),
            Play::Events(answer("hi")),
        ]);
        let (only, request) = (targets(&["a/1"]), request());
        let config = config().with_retries(1).with_retry_budget(budget);
        let executor = executor(&client, &clock, config);
        let exhausted = drive(&clock, executor.chat(Call::new(call_id(), &only, &request)))
            .await
            .unwrap_err();
        assert_eq!(
            (exhausted.attempts.len(), client.models().len()),
            (made, made),
            "{name}"
        );
        assert_eq!(exhausted.error.kind(), ErrorKind::Transport, "{name}");
        assert_eq!(exhausted.retry_budget_spent, budget == none, "{name}");
    }
}

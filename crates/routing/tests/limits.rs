//! Rate limits in front of attempts: who is passed over, who waits, and what is learnt.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use costing::{PriceBook, UtcTime};
use integration_core::{Clock, Error, ErrorKind, ManualClock};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use rate_limits::{LimitRules, Limits, RateLimiter, TokenEstimate};
use routing::{
    Call, Executor, ExecutorConfig, LimitGate, RouteRequest, Router, Snapshot, Target, Task, strategy,
};
use support::*;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    clock: ManualClock,
    client: Arc<Player>,
    limiter: RateLimiter,
    gate: Recorder,
}

impl Bench {
    fn new(rules: LimitRules, plays: impl IntoIterator<Item = Play>) -> Self {
        let clock = ManualClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        Self {
            client: Player::new(plays),
            limiter: RateLimiter::new(rules, shared),
            gate: Recorder::default(),
            clock,
        }
    }

    fn executor(&self) -> Executor {
        executor(
            &self.client,
            &self.clock,
            ExecutorConfig::new(4, 60 * SECOND).with_retries(0),
        )
    }

    fn gate(&self, tokens: u64) -> Arc<LimitGate> {
        let limiters = Arc::new(BTreeMap::from([(provider(), self.limiter.clone())]));
        Arc::new(LimitGate::new(
            limiters,
            TokenEstimate::new(tokens, 0),
            Arc::new(self.gate.clone()),
        ))
    }
}

fn one_a_minute(model: &str) -> LimitRules {
    LimitRules::new().with(model.parse().unwrap(), Limits::none().with_requests_per_minute(1))
}

#[tokio::test]
async fn a_full_minute_sends_calls_to_the_next_target() {
    let bench = Bench::new(
        one_a_minute("a/1"),
        [Play::Events(answer("first")), Play::Events(answer("second"))],
    );
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    for expected in ["first", "second"] {
        let call = Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
        let answer = bench.executor().chat(call).await.unwrap();
        assert_eq!(answer.response.text(), expected);
    }
    assert_eq!(bench.client.models(), ["a/1", "b/2"]);
    bench.gate.assert_settled();
}

#[tokio::test]
async fn a_call_waits_where_there_is_no_other_target() {
    let bench = Bench::new(
        one_a_minute("a/1"),
        [Play::Events(answer("first")), Play::Events(answer("second"))],
    );
    let (targets, request) = (targets(&["a/1"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
    bench.executor().chat(call()).await.unwrap();
    bench.clock.advance(59 * SECOND);
    let executor = bench.executor();
    let waited = after(executor.chat(call()), &bench.clock, 2 * SECOND)
        .await
        .unwrap();
    assert_eq!(waited.response.text(), "second");
}

#[tokio::test]
async fn a_wait_beyond_the_end_of_the_call_is_refused_at_once() {
    let rules = LimitRules::new().with("a/1".parse().unwrap(), Limits::none().with_requests_per_day(1));
    let bench = Bench::new(rules, [Play::Events(answer("first"))]);
    let (targets, request) = (targets(&["a/1"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
    bench.executor().chat(call()).await.unwrap();
    let refused = bench.executor().chat(call()).await.unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::RateLimited);
    assert!(
        refused.error.retry_after() > Some(60 * SECOND),
        "{:?}",
        refused.error
    );
    assert_eq!((refused.attempts.len(), refused.passed_over.len()), (0, 2));
    assert_eq!(
        bench.gate.log.lock().unwrap().admitted.len(),
        1,
        "no intent for what is never sent"
    );
}

#[tokio::test]
async fn f05_a_refusal_closes_that_model_until_it_said_and_no_other() {
    let refusal = Error::new(ErrorKind::RateLimited, "slow down")
        .with_delivery(integration_core::Delivery::Answered)
        .with_retry_after(20 * SECOND);
    let bench = Bench::new(
        LimitRules::new(),
        [
            Play::Fail(refusal),
            Play::Events(answer("b")),
            Play::Events(answer("b again")),
            Play::Events(answer("a again")),
        ],
    );
    let (both, request) = (targets(&["a/1", "b/2"]), request());
    let call = || Call::new(call_id(), &both, &request).with_gate(bench.gate(10));
    bench.executor().chat(call()).await.unwrap();
    // While it is closed nothing is sent to it.
    bench.executor().chat(call()).await.unwrap();
    assert_eq!(bench.client.models(), ["a/1", "b/2", "b/2"]);
    bench.clock.advance(21 * SECOND);
    bench.executor().chat(call()).await.unwrap();
    assert_eq!(bench.client.models().last().unwrap(), "a/1");
    bench.gate.assert_settled();
}

#[tokio::test]
async fn tokens_are_settled_and_what_was_never_sent_is_given_back() {
    let rules = LimitRules::new().with(
        "a/1".parse().unwrap(),
        Limits::none().with_tokens_per_minute(1_000),
    );
    let not_sent = || Play::Fail(Error::new(ErrorKind::Transport, "refused"));
    // The answer says that it used 15 tokens, of 600 reserved.
    let bench = Bench::new(
        rules,
        [not_sent(), Play::Events(answer("x")), Play::Events(answer("y"))],
    );
    let (targets, request) = (targets(&["a/1"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(bench.gate(600));
    bench.executor().chat(call()).await.unwrap_err();
    bench.executor().chat(call()).await.unwrap();
    bench.executor().chat(call()).await.unwrap();
    // Three calls of 600 within one minute of 1,000: the clock stands still, so a wait would never end.
    bench.gate.assert_settled();
}

#[tokio::test]
async fn a_gate_that_refuses_gives_the_share_back() {
    let mut bench = Bench::new(one_a_minute("a/1"), [Play::Events(answer("x"))]);
    let (targets, request) = (targets(&["a/1"]), request());
    bench.gate.refuse_from = Some(1);
    let call = Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
    assert_eq!(
        bench.executor().chat(call).await.unwrap_err().error.kind(),
        ErrorKind::Billing
    );
    bench.gate.refuse_from = None;
    let call = Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
    bench.executor().chat(call).await.unwrap();
}

#[tokio::test]
async fn under_a_shared_limit_a_call_waits_for_its_first_choice_and_not_for_the_dearest() {
    let rules = LimitRules::new().with_shared(
        "*".parse().unwrap(),
        "all",
        Limits::none().with_requests_per_minute(1),
    );
    let bench = Bench::new(
        rules,
        [Play::Events(answer("first")), Play::Events(answer("second"))],
    );
    let (targets, request) = (targets(&["a/cheap", "b/dearer", "c/dearest"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
    bench.executor().chat(call()).await.unwrap();
    bench.clock.advance(30 * SECOND);
    let executor = bench.executor();
    let waited = after(executor.chat(call()), &bench.clock, 31 * SECOND)
        .await
        .unwrap();
    assert_eq!(waited.target, targets[0]);
    assert_eq!((waited.attempts.len(), waited.passed_over.len()), (1, 3));
    assert_eq!(bench.client.models(), ["a/cheap", "a/cheap"]);
}

#[tokio::test]
async fn a_call_that_ends_before_there_is_room_is_told_so_at_once() {
    let bench = Bench::new(one_a_minute("a/1"), [Play::Events(answer("first"))]);
    let (targets, request) = (targets(&["a/1"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
    bench.executor().chat(call()).await.unwrap();
    // The clock stands still: whoever waits here waits for ever.
    let hasty = call().with_deadline(5 * SECOND);
    let refused = bench.executor().chat(hasty).await.unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::RateLimited);
    assert_eq!(refused.error.retry_after(), Some(60 * SECOND));
}

#[tokio::test]
async fn a_routing_suffix_has_no_limits_of_its_own() {
    let bench = Bench::new(
        one_a_minute("a/1"),
        [Play::Events(answer("first")), Play::Events(answer("b"))],
    );
    let (targets, request) = (targets(&["a/1:nitro", "a/1:floor", "a/1", "b/2"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(bench.gate(10));
    bench.executor().chat(call()).await.unwrap();
    bench.executor().chat(call()).await.unwrap();
    assert_eq!(bench.client.models(), ["a/1:nitro", "b/2"]);
}

#[tokio::test]
async fn a_refusal_gives_its_tokens_back() {
    let rules = LimitRules::new().with(
        "a/1".parse().unwrap(),
        Limits::none().with_tokens_per_minute(1_000),
    );
    let refusal = Error::new(ErrorKind::InvalidRequest, "no such parameter")
        .with_delivery(integration_core::Delivery::Answered);
    let bench = Bench::new(rules, [Play::Fail(refusal), Play::Events(answer("x"))]);
    let (targets, request) = (targets(&["a/1"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(bench.gate(1_000));
    bench.executor().chat(call()).await.unwrap_err();
    bench.executor().chat(call()).await.unwrap();
}

/// A router over models of one price, by the live data of an executor.
fn router(executor: &Executor, names: &[&str]) -> Router {
    let records = names.iter().map(|name| {
        let mut record = ModelRecord::new(name.parse().unwrap());
        record.prices = PriceStrings::new([("prompt", "0.000001"), ("completion", "0.000001")]);
        record.benchmarks = Benchmarks::new(Some(50.0), None, None);
        record.output_modalities = vec!["text".to_owned()];
        record
    });
    let catalogue = Catalogue::new("2026-08-22", provider(), records.collect()).unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    Router::new(Snapshot::new(&catalogue, &prices), Arc::clone(executor.live()))
}

fn by_headroom(router: &Router, bench: &Bench) -> Vec<Target> {
    let mut request = RouteRequest::new(Task::Reasoning, UtcTime::from_unix(1_787_400_000));
    request.strategy = strategy("headroom").unwrap();
    let plan = router.view().plan(&request, bench.clock.now());
    plan.candidates.iter().map(|one| one.target.clone()).collect()
}

#[tokio::test]
async fn under_headroom_a_model_near_its_configured_limit_loses_its_calls_until_it_has_room() {
    let limited = |requests| Limits::none().with_requests_per_minute(requests);
    let rules = LimitRules::new()
        .with("a/1".parse().unwrap(), limited(4))
        .with("b/2".parse().unwrap(), limited(40));
    let bench = Bench::new(rules, (0..25).map(|_| Play::Events(answer("x"))));
    let executor = bench.executor();
    let router = router(&executor, &["a/1", "b/2"]);
    let request = request();
    let gate = || {
        let gate = bench.gate(10).as_ref().clone();
        Arc::new(gate.with_live(Arc::clone(executor.live()), Arc::new(bench.clock.clone())))
    };
    let call = async || {
        let order = by_headroom(&router, &bench);
        let call = Call::new(call_id(), &order, &request).with_gate(gate());
        let answer = executor.chat(call).await.unwrap();
        assert!(answer.passed_over.is_empty(), "nobody is asked who has no room");
        answer.target.model.to_string()
    };
    let mut asked = BTreeMap::<String, u32>::new();
    for _ in 0..22 {
        *asked.entry(call().await).or_default() += 1;
    }
    // As their limits are: 1 to 10.
    assert_eq!(
        asked,
        BTreeMap::from([("a/1".to_owned(), 2), ("b/2".to_owned(), 20)])
    );
    let left = |name: &str| {
        let live = executor.live().of(&targets(&[name])[0]);
        live.reading(bench.clock.now()).headroom
    };
    assert_eq!((left("a/1"), left("b/2")), (Some(0.5), Some(0.5)));
    // A suffix uses up what its model has.
    let suffixed = targets(&["a/1:nitro"]);
    executor
        .chat(Call::new(call_id(), &suffixed, &request).with_gate(gate()))
        .await
        .unwrap();
    assert_eq!((left("a/1"), left("a/1:nitro")), (Some(0.25), None));
    assert_eq!(call().await, "b/2");
    // A refusal tells as well: the last of the room was taken by somebody else.
    let last = bench.limiter.try_acquire(&"a/1".parse().unwrap(), 1).await;
    let rate_limits::Attempt::Granted(mut last) = last.unwrap() else {
        panic!("there was room for one more");
    };
    last.sent();
    let both = targets(&["a/1", "b/2"]);
    let passed_on = Call::new(call_id(), &both, &request).with_gate(gate());
    assert_eq!(executor.chat(passed_on).await.unwrap().target, both[1]);
    assert_eq!(left("a/1"), Some(0.0));
    // A minute later both are as they were at first.
    bench.clock.advance(60 * SECOND);
    assert_eq!((left("a/1"), left("b/2")), (None, None));
}

#[tokio::test]
async fn what_an_attempt_gives_back_is_told_when_it_ends() {
    let limits = Limits::none().with_tokens_per_minute(1_000).with_concurrency(1);
    let rules = LimitRules::new().with("a/1".parse().unwrap(), limits);
    // The answer says that it used 15 tokens, of 600 reserved.
    let bench = Bench::new(rules, [Play::Events(answer("x"))]);
    let executor = bench.executor();
    let gate = bench.gate(600).as_ref().clone();
    let gate = gate.with_live(Arc::clone(executor.live()), Arc::new(bench.clock.clone()));
    let (targets, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate));
    executor.chat(call).await.unwrap();
    let live = executor.live().of(&targets[0]);
    assert_eq!(live.reading(bench.clock.now()).headroom, Some(0.985));
}

//! Callers who leave, at every step of a call: nothing stays taken, and what was sent is booked once.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, poll};
use integration_core::{ChatRequest, Clock, Delivery, Error, ErrorKind, ManualClock};
use rate_limits::{LimitRules, Limits, RateLimiter, TokenEstimate};
use routing::{Call, Ending, Executor, ExecutorConfig, HedgePolicy, LimitGate, Standing, Target};
use support::*;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> ExecutorConfig {
    ExecutorConfig::new(4, 60 * SECOND).with_retries(0)
}

fn refuses_for(wait: Duration) -> Play {
    let error = Error::new(ErrorKind::RateLimited, "slow down").with_delivery(Delivery::Answered);
    Play::Fail(error.with_retry_after(wait))
}

/// A future is polled so often and no more. Where nothing woke it, the clock goes on to the next timer.
struct Steps {
    left: usize,
    clock: ManualClock,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Steps {
    fn poll<T>(&mut self, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let waker = Waker::from(Arc::clone(&self.woken));
        while self.left > 0 {
            self.left -= 1;
            self.woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(done);
            }
            if !self.woken.0.load(Ordering::Relaxed) {
                assert!(self.clock.advance_to_next(), "the call waits for nothing");
            }
        }
        None
    }
}

/// What can go on around a call.
#[derive(Debug, Clone, Copy)]
struct Setting {
    pauses: bool,
    limits: bool,
    hedges: bool,
    /// The first target was ejected, and is to be probed.
    half_open: bool,
}

impl Setting {
    fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits| Self {
            pauses: bits & 1 > 0,
            limits: bits & 2 > 0,
            hedges: bits & 4 > 0,
            half_open: bits & 8 > 0,
        })
    }
}

/// A call and everything it may leave behind.
struct Bench {
    clock: ManualClock,
    client: Arc<Player>,
    gate: Recorder,
    limiter: RateLimiter,
    executor: Executor,
    targets: Vec<Target>,
    limits: bool,
}

impl Bench {
    fn new(setting: Setting, plays: Vec<Play>) -> Self {
        let clock = ManualClock::new();
        let more = (0..8).map(|_| Play::Events(answer("more")));
        let client = Player::with_pauses(plays.into_iter().chain(more), setting.pauses);
        let mut config = config().with_retries(1).with_attempt_timeout(9 * SECOND);
        if setting.hedges {
            config = config.with_hedge(HedgePolicy::new(2 * SECOND).with_share(1.0));
        }
        // One call at a time and model: a permit that is not given back is seen.
        let rules = LimitRules::new().with("*".parse().unwrap(), Limits::none().with_concurrency(1));
        let bench = Self {
            gate: Recorder {
                pauses: setting.pauses,
                ..Recorder::default()
            },
            limiter: RateLimiter::new(rules, Arc::new(clock.clone())),
            executor: executor(&client, &clock, config),
            targets: targets(&["a/1", "b/2"]),
            limits: setting.limits,
            client,
            clock,
        };
        let lives: Vec<_> = bench
            .targets
            .iter()
            .map(|target| bench.executor.live().of(target))
            .collect();
        if setting.half_open {
            let failure = Ending::Failed {
                kind: ErrorKind::Upstream,
                retry_after: None,
            };
            for _ in 0..5 {
                lives[0].end(
                    lives[0].begin(true, bench.clock.now()),
                    failure,
                    bench.clock.now(),
                );
            }
            bench.clock.advance(40 * SECOND);
            assert_eq!(lives[0].standing(bench.clock.now()).0, Standing::ProbeDue);
        }
        bench
    }

    fn call<'a>(&'a self, request: &'a ChatRequest) -> Call<'a> {
        let call = Call::new(call_id(), &self.targets, request);
        if !self.limits {
            return call.with_gate(Arc::new(self.gate.clone()));
        }
        let limiters = Arc::new(BTreeMap::from([(provider(), self.limiter.clone())]));
        call.with_gate(Arc::new(LimitGate::new(
            limiters,
            TokenEstimate::new(10, 0),
            Arc::new(self.gate.clone()),
        )))
    }

    fn under_way(&self) -> usize {
        let log = self.gate.log.lock().unwrap();
        log.admitted.len() - log.settled.len()
    }

    /// Nothing is left of a call that was given up while so many attempts were under way.
    fn assert_clean(&self, under_way: usize, name: &str) {
        let results = self.gate.results();
        assert!(
            results
                .iter()
                .rev()
                .take(under_way)
                .all(|result| *result == "cancelled"),
            "{name}: {results:?}"
        );
        let cancelled = results.iter().filter(|result| **result == "cancelled").count();
        {
            // Two under way at once end in any order.
            let mut log = self.gate.log.lock().unwrap();
            log.settled.sort_by_key(|(number, _)| *number);
            let admitted: Vec<_> = log.admitted.iter().map(|attempt| attempt.number).collect();
            let asked = self.client.asked.lock().unwrap();
            let sent: Vec<_> = asked.iter().map(|asked| asked.attempt).collect();
            assert_eq!(sent, admitted, "{name}: what is sent is what was admitted");
        }
        self.gate.assert_settled();
        // Another attempt of the call that is given up for a hedge is cancelled too, but no more than that.
        assert!(cancelled <= under_way + 1, "{name}: {results:?}");
        assert_eq!(self.client.open(), 0, "{name}: a connection is open");
        assert_eq!(self.clock.pending(), 0, "{name}: a timer is left");
        for target in &self.targets {
            let live = self.executor.live().of(target);
            let now = self.clock.now();
            assert_eq!(live.reading(now).in_flight, 0, "{name}: {target:?}");
            assert_ne!(live.standing(now).0, Standing::Probing, "{name}: {target:?}");
            let free = self.limiter.try_acquire(&target.model, 10).now_or_never();
            assert!(
                matches!(free, Some(Ok(rate_limits::Attempt::Granted(_))))
                    || !self.limits
                    || self.has_refused(),
                "{name}: {target:?}: {free:?}"
            );
        }
    }

    /// Whether the provider asked to be left alone, which the limiter keeps to.
    fn has_refused(&self) -> bool {
        self.gate.results().contains(&"rate_limited")
    }
}

/// Everything that a provider does to a call.
fn scripts() -> Vec<Vec<Play>> {
    let breaks = || Error::new(ErrorKind::Upstream, "overheated").with_delivery(Delivery::Partial);
    let begun = || vec![start("gen-1"), usage(3, 1), text("a"), text("b")];
    vec![
        vec![],
        vec![fails(ErrorKind::Upstream)],
        vec![fails(ErrorKind::Transport), fails(ErrorKind::Overloaded)],
        vec![refuses_for(3 * SECOND), refuses_for(3 * SECOND)],
        vec![fails(ErrorKind::InvalidRequest)],
        vec![Play::Breaks(vec![start("gen-0")], breaks())],
        vec![Play::Breaks(begun(), breaks())],
        vec![Play::Events(begun())],
        vec![Play::Silence],
        vec![Play::Silence, Play::Silence],
        vec![Play::Stalls(vec![start("gen-0")])],
        vec![Play::Stalls(begun())],
    ]
}

/// Whether the stream came to its end within these steps, and how many attempts are under way where it is given up.
fn some_of_a_stream(bench: &Bench, request: &ChatRequest, steps: &mut Steps) -> (bool, usize) {
    let begun = {
        let mut call = pin!(bench.executor.stream(bench.call(request)));
        match steps.poll(call.as_mut()) {
            None => return (false, bench.under_way()),
            Some(Err(_)) => return (true, bench.under_way()),
            Some(Ok(streamed)) => streamed,
        }
    };
    let mut stream = begun.stream;
    loop {
        match steps.poll(pin!(stream.next())) {
            None => return (false, bench.under_way()),
            Some(None) => return (true, bench.under_way()),
            Some(Some(_)) => {}
        }
    }
}

/// A call is given up after every number of steps, until it is over by itself. How many steps it had.
fn leaves_at_every_step(stream: bool, setting: Setting, script: usize) -> usize {
    let request = request();
    for step in 0..2_000 {
        let name = format!("script {script}, {setting:?}, step {step}");
        let bench = Bench::new(setting, scripts().swap_remove(script));
        let mut steps = Steps {
            left: step,
            clock: bench.clock.clone(),
            woken: Arc::default(),
        };
        let (over, under_way) = match stream {
            true => some_of_a_stream(&bench, &request, &mut steps),
            false => {
                let mut call = pin!(bench.executor.chat(bench.call(&request)));
                (steps.poll(call.as_mut()).is_some(), bench.under_way())
            }
        };
        bench.assert_clean(under_way, &name);
        if over {
            return step;
        }
    }
    panic!("the call never ends");
}

#[test]
fn f26_a_caller_who_leaves_a_stream_at_any_step_leaves_nothing_behind() {
    let mut steps = 0;
    for setting in Setting::all() {
        for script in 0..scripts().len() {
            steps += leaves_at_every_step(true, setting, script);
        }
    }
    assert!(steps > 1_000, "{steps}");
}

#[test]
fn f27_a_caller_who_leaves_while_a_whole_answer_is_made_is_booked_as_gone() {
    let mut steps = 0;
    for setting in Setting::all() {
        for script in 0..scripts().len() {
            steps += leaves_at_every_step(false, setting, script);
        }
    }
    assert!(steps > 500, "{steps}");
}

#[tokio::test]
async fn f28_a_call_given_up_before_it_is_admitted_has_taken_and_sent_nothing() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Events(answer("hi"))]);
    let executor = executor(&client, &clock, config());
    // One call a minute: what the first one takes and does not give back, the second one lacks.
    let rules = LimitRules::new().with("*".parse().unwrap(), Limits::none().with_requests_per_minute(1));
    let limiter = RateLimiter::new(rules, Arc::new(clock.clone()));
    let gate = |then: &Recorder| {
        let limiters = Arc::new(BTreeMap::from([(provider(), limiter.clone())]));
        Arc::new(LimitGate::new(
            limiters,
            TokenEstimate::new(10, 0),
            Arc::new(then.clone()),
        ))
    };
    let (only, request) = (targets(&["a/1"]), request());
    let ledger = Recorder {
        hangs: true,
        ..Recorder::default()
    };
    {
        let call = Call::new(call_id(), &only, &request).with_gate(gate(&ledger));
        let mut waiting = pin!(executor.chat(call));
        assert!(poll!(waiting.as_mut()).is_pending());
        // It holds the minute's one call while the ledger is asked.
        let none = limiter.try_acquire(&only[0].model, 10).now_or_never();
        assert!(matches!(none, Some(Ok(rate_limits::Attempt::Wait { .. }))));
    }
    assert_eq!((client.models().len(), clock.pending()), (0, 0));
    assert_eq!(executor.live().of(&only[0]).reading(clock.now()).in_flight, 0);
    let gate = gate(&Recorder::default());
    let call = Call::new(call_id(), &only, &request).with_gate(gate);
    assert!(executor.chat(call).now_or_never().unwrap().is_ok());
}

#[tokio::test]
async fn f28_a_call_given_up_while_it_waits_for_its_turn_leaves_it_to_the_next() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Events(answer("first")), Play::Events(answer("last"))]);
    let executor = executor(&client, &clock, ExecutorConfig::new(4, 600 * SECOND));
    let rules = LimitRules::new().with("*".parse().unwrap(), Limits::none().with_requests_per_minute(1));
    let limiter = RateLimiter::new(rules, Arc::new(clock.clone()));
    let gate = Recorder::default();
    let (only, request) = (targets(&["a/1"]), request());
    let call = || {
        let limiters = Arc::new(BTreeMap::from([(provider(), limiter.clone())]));
        let estimate = TokenEstimate::new(10, 0);
        let gate = LimitGate::new(limiters, estimate, Arc::new(gate.clone()));
        Call::new(call_id(), &only, &request).with_gate(Arc::new(gate))
    };
    executor.chat(call()).await.unwrap();
    let mut behind = pin!(executor.chat(call()));
    {
        let mut waiting = pin!(executor.chat(call()));
        assert!(poll!(waiting.as_mut()).is_pending());
        assert!(poll!(behind.as_mut()).is_pending());
        clock.advance(30 * SECOND);
        assert!(poll!(waiting.as_mut()).is_pending());
    }
    assert!(poll!(behind.as_mut()).is_pending());
    clock.advance(31 * SECOND);
    let Poll::Ready(answered) = poll!(behind.as_mut()) else {
        panic!("the turn was lost")
    };
    assert_eq!(answered.unwrap().response.text(), "last");
    assert_eq!(client.models().len(), 2);
    gate.assert_settled();
    assert_eq!(clock.pending(), 0);
}

#[tokio::test]
async fn f28_a_call_given_up_during_a_cooldown_or_a_backoff_sends_nothing_more() {
    for (first, wait) in [
        (refuses_for(20 * SECOND), 21 * SECOND),
        (fails(ErrorKind::Overloaded), SECOND),
        (fails(ErrorKind::Transport), SECOND),
    ] {
        let name = format!("{first:?}");
        let clock = ManualClock::new();
        let client = Player::new([first, Play::Events(answer("hi"))]);
        let gate = Recorder::default();
        let executor = executor(&client, &clock, config().with_retries(1));
        let (only, request) = (targets(&["a/1"]), request());
        let call = || Call::new(call_id(), &only, &request).with_gate(Arc::new(gate.clone()));
        {
            let mut waiting = pin!(executor.chat(call()));
            assert!(poll!(waiting.as_mut()).is_pending(), "{name}");
            assert_eq!(client.models().len(), 1, "{name}: it waits to ask again");
        }
        if executor.live().of(&only[0]).reading(clock.now()).cooling {
            // A new call waits for the cooldown that the first one met.
            let mut waiting = pin!(executor.stream(call()));
            assert!(poll!(waiting.as_mut()).is_pending(), "{name}");
        }
        assert_eq!(clock.pending(), 0, "{name}");
        clock.advance(wait);
        assert_eq!(client.models().len(), 1, "{name}");
        gate.assert_settled();
        assert_eq!(gate.log.lock().unwrap().admitted.len(), 1, "{name}");
        assert!(executor.chat(call()).now_or_never().unwrap().is_ok(), "{name}");
    }
}

#[tokio::test]
async fn f26_callers_who_leave_while_two_are_asked_leave_the_next_one_its_hedge() {
    let clock = ManualClock::new();
    let plays = (0..20).map(|_| Play::Silence);
    let client = Player::new(plays.chain([Play::Silence, Play::Events(answer("quick"))]));
    let gate = Recorder::default();
    // One hedge a call is all there is.
    let policy = HedgePolicy::new(SECOND / 5).with_share(1.0);
    let executor = executor(&client, &clock, config().with_hedge(policy));
    let (both, request) = (targets(&["a/1", "b/2"]), request());
    let call = || Call::new(call_id(), &both, &request).with_gate(Arc::new(gate.clone()));
    for _ in 0..10 {
        let mut waiting = pin!(executor.chat(call()));
        assert!(poll!(waiting.as_mut()).is_pending());
        clock.advance(SECOND / 5);
        assert!(poll!(waiting.as_mut()).is_pending());
        assert_eq!(client.open(), 2);
    }
    assert_eq!((client.open(), clock.pending()), (0, 0));
    let answer = drive(&clock, executor.chat(call())).await.unwrap();
    assert_eq!(
        (&answer.target, answer.response.text().as_str()),
        (&both[1], "quick")
    );
    let log = gate.log.lock().unwrap();
    assert_eq!(
        (log.settled.len(), log.admitted.len(), log.unsettled),
        (22, 22, 0)
    );
}

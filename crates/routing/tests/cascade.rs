//! Cheap first: what is asked after an answer that is not good enough, and what comes of it.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use integration_core::{ChatRequest, ChatResponse, Clock, ErrorKind, ManualClock};
use proptest::prelude::*;
use routing::{
    Call, Cascaded, EventQueue, ExecutorConfig, Exhausted, FallbackClass, HedgePolicy, RouteEvent, Target,
    Verdict, Verifier,
};
use support::*;

/// Wants to read this.
struct Wants(&'static str);

#[async_trait]
impl Verifier for Wants {
    async fn verify(&self, _: &Target, _: &ChatRequest, response: &ChatResponse) -> Verdict {
        if response.text() == self.0 {
            Verdict::Accepted
        } else {
            Verdict::Rejected(format!("it says {}", response.text()))
        }
    }
}

fn config(attempts: u16) -> ExecutorConfig {
    ExecutorConfig::new(attempts, Duration::from_secs(60)).with_retries(0)
}

struct Ran {
    result: Result<Cascaded, Exhausted>,
    client: Arc<Player>,
    gate: Recorder,
    events: Vec<RouteEvent>,
}

async fn cascade(plays: Vec<Play>, models: &[&str], steps: usize, attempts: u16) -> Ran {
    let clock = ManualClock::new();
    let (client, gate) = (Player::new(plays), Recorder::default());
    let events = Arc::new(EventQueue::new(1_000));
    let executor = executor(&client, &clock, config(attempts)).with_observer(Arc::clone(&events));
    let (targets, request) = (targets(models), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let result = executor.cascade(call, steps, &Wants("good")).await;
    gate.assert_settled();
    Ran {
        result,
        client,
        gate,
        events: events.drain(),
    }
}

fn says(word: &str) -> Play {
    Play::Events(answer(word))
}

#[tokio::test]
async fn an_answer_that_is_not_good_enough_is_billed_and_the_next_step_is_asked() {
    let plays = vec![says("bad"), says("worse"), says("good")];
    let ran = cascade(plays, &["a/1", "b/2", "c/3", "d/4"], 4, 4).await;
    let done = ran.result.unwrap();
    assert_eq!(done.verdict, Verdict::Accepted);
    assert_eq!(
        (
            done.answer.response.text().as_str(),
            done.answer.target.model.as_str()
        ),
        ("good", "c/3")
    );
    let rejected: Vec<_> = done
        .rejected
        .iter()
        .map(|one| (one.target.model.as_str(), one.why.as_str()))
        .collect();
    assert_eq!(rejected, [("a/1", "it says bad"), ("b/2", "it says worse")]);
    let numbers: Vec<_> = done
        .answer
        .attempts
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(ran.gate.results(), ["complete"; 3]);
    let ends = ran
        .events
        .iter()
        .filter(|event| matches!(event, RouteEvent::CallEnded { attempts: 3, .. }));
    assert_eq!(ends.count(), 1, "it is one call");
    let told = ran
        .events
        .iter()
        .filter(|event| matches!(event, RouteEvent::NotGoodEnough { .. }));
    assert_eq!(told.count(), 2);
}

#[tokio::test]
async fn what_is_behind_the_steps_is_for_failures_alone() {
    let plays = vec![
        fails(ErrorKind::Upstream),
        fails(ErrorKind::Upstream),
        says("bad"),
    ];
    let ran = cascade(plays, &["a/1", "b/2", "c/3"], 2, 4).await;
    let done = ran.result.unwrap();
    assert_eq!(ran.client.models(), ["a/1", "b/2", "c/3"]);
    assert_eq!(done.verdict, Verdict::Rejected("it says bad".to_owned()));
    assert!(done.exhausted.is_none(), "nobody was left to ask");
    // The last step's answer is the last one, whatever is behind it.
    let ran = cascade(vec![says("bad"), says("worse")], &["a/1", "b/2", "c/3"], 2, 4).await;
    let done = ran.result.unwrap();
    assert_eq!(
        (ran.client.models().len(), done.answer.response.text().as_str()),
        (2, "worse")
    );
}

#[tokio::test]
async fn a_bad_answer_is_better_than_none() {
    let plays = vec![
        says("bad"),
        fails(ErrorKind::Upstream),
        fails(ErrorKind::Upstream),
    ];
    let ran = cascade(plays, &["a/1", "b/2", "c/3"], 3, 4).await;
    let done = ran.result.unwrap();
    assert_eq!(done.answer.response.text(), "bad");
    assert_eq!(done.verdict, Verdict::Rejected("it says bad".to_owned()));
    assert_eq!(done.exhausted.unwrap().attempts.len(), 2);
    assert_eq!(ran.gate.results(), ["complete", "upstream", "upstream"]);
    let none = cascade(vec![fails(ErrorKind::Upstream)], &["a/1"], 1, 4).await;
    assert_eq!(none.result.unwrap_err().attempts.len(), 1);
}

#[tokio::test]
async fn the_verifiers_time_is_the_calls() {
    struct Slow(ManualClock);
    #[async_trait]
    impl Verifier for Slow {
        async fn verify(&self, _: &Target, _: &ChatRequest, _: &ChatResponse) -> Verdict {
            self.0.advance(Duration::from_secs(61));
            Verdict::Rejected("no".to_owned())
        }
    }
    let clock = ManualClock::new();
    let client = Player::new([says("bad")]);
    let executor = executor(&client, &clock, config(4));
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let begun = clock.now();
    let call = Call::new(call_id(), &targets, &request);
    let done = executor.cascade(call, 2, &Slow(clock.clone())).await.unwrap();
    assert_eq!(clock.now() - begun, Duration::from_secs(61));
    assert_eq!(done.exhausted.unwrap().error.kind(), ErrorKind::Timeout);
    assert_eq!(client.models(), ["a/1"]);
}

/// Never says anything.
struct Silent;

#[async_trait]
impl Verifier for Silent {
    async fn verify(&self, _: &Target, _: &ChatRequest, _: &ChatResponse) -> Verdict {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_verifier_that_never_answers_ends_with_the_call() {
    let clock = ManualClock::new();
    let client = Player::new([says("bad")]);
    let executor = executor(&client, &clock, config(4));
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let begun = clock.now();
    let call = Call::new(call_id(), &targets, &request).with_deadline(Duration::from_secs(5));
    let done = drive(&clock, executor.cascade(call, 2, &Silent)).await.unwrap();
    assert_eq!(clock.now() - begun, Duration::from_secs(5));
    assert!(matches!(done.verdict, Verdict::Rejected(_)));
    assert_eq!(client.models(), ["a/1"]);
}

#[tokio::test]
async fn neither_a_chain_nor_a_step_that_was_passed_over_leads_back() {
    let clock = ManualClock::new();
    let (targets, request) = (targets(&["a/1", "b/2", "c/3"]), request());
    // The chain of the second one's failure has the first, which was asked.
    let client = Player::new([says("bad"), fails(ErrorKind::Overloaded)]);
    let on = executor(&client, &clock, config(4));
    let call = Call::new(call_id(), &targets, &request)
        .with_fallbacks(FallbackClass::Overload, targets[..1].to_vec());
    let done = on.cascade(call, 2, &Wants("good")).await.unwrap();
    assert_eq!(
        (client.models(), done.answer.response.text().as_str()),
        (vec!["a/1".to_owned(), "b/2".to_owned()], "bad")
    );
    // The first is full, and no better than the second, which answers.
    let client = Player::new([says("bad"), says("good")]);
    let on = executor(&client, &clock, config(4));
    let gate = Recorder {
        at_limit: Some("a/1"),
        ..Recorder::default()
    };
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate));
    let done = on.cascade(call, 3, &Wants("good")).await.unwrap();
    assert_eq!(client.models(), ["b/2", "c/3"]);
    assert_eq!(
        done.answer
            .attempts
            .iter()
            .map(|one| one.number)
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[tokio::test]
async fn whoever_was_given_up_for_an_answer_that_was_no_good_is_asked_again() {
    let clock = ManualClock::new();
    let client = Player::new([
        Play::Later(Duration::from_secs(3), clock.clone(), answer("bad")),
        Play::Silence,
        says("good"),
    ]);
    let hedging = config(4).with_hedge(HedgePolicy::new(Duration::from_secs(2)).with_share(1.0));
    let gate = Recorder::default();
    let on = executor(&client, &clock, hedging);
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let done = drive(&clock, on.cascade(call, 2, &Wants("good"))).await.unwrap();
    assert_eq!(client.models(), ["a/1", "b/2", "b/2"]);
    assert_eq!(
        (done.verdict, done.answer.target.model.as_str()),
        (Verdict::Accepted, "b/2")
    );
    let mut numbers: Vec<_> = gate
        .log
        .lock()
        .unwrap()
        .admitted
        .iter()
        .map(|one| one.number)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3], "no number comes twice");
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Bad,
    Good,
    Fails,
}

proptest! {
    /// Against the plain description: ask in order until one is good, at most so often, never one twice.
    #[test]
    fn a_cascade_does_what_it_says(
        words in prop::collection::vec(prop_oneof![Just(Word::Bad), Just(Word::Good), Just(Word::Fails)], 1..7),
        steps in 0usize..8,
        cap in 1u16..8,
    ) {
        let models: Vec<String> = (0..words.len()).map(|at| format!("m/{at}")).collect();
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let plays = words.iter().map(|word| match word {
            Word::Bad => says("bad"),
            Word::Good => says("good"),
            Word::Fails => fails(ErrorKind::Billing),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ran = runtime.block_on(cascade(plays.collect(), &models, steps, cap));
        let (mut asked, mut best) = (0, None);
        for (at, word) in words.iter().enumerate() {
            if asked == usize::from(cap) || (best.is_some() && at >= steps) {
                break;
            }
            asked += 1;
            match word {
                Word::Fails => {}
                Word::Bad => best = Some((at, false)),
                Word::Good => { best = Some((at, true)); break; }
            }
        }
        prop_assert_eq!(ran.client.models().len(), asked);
        let got = ran.result.ok().map(|done| (done.answer.target.model.to_string(), done.verdict == Verdict::Accepted));
        prop_assert_eq!(got, best.map(|(at, good)| (format!("m/{at}"), good)));
    }
}

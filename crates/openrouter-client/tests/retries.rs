//! Retries inside the client, counted at the upstream. Time is told by hand: what is waited for is compared with the rules.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use http_transport::Timeouts;
use http_transport::retry::Retrier;
use integration_core::{ChatClient, Clock, Delivery, Error, ErrorKind, ManualClock, StreamEvent};
use openrouter_client::retry::{RetryPolicy, RetryRules};
use openrouter_client::routes::{NewKey, RawMethod, RawRequest};
use openrouter_client::{Config, OpenRouterClient};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::json;

const SEED: u64 = 7;

/// Far longer than any wait between attempts, so that the sleeps of both can be told apart.
const LONG: Duration = Duration::from_secs(1_000_000);

fn retrying(upstream: &ScriptedUpstream) -> Config {
    let timeouts = Timeouts::default()
        .with_connect(LONG)
        .with_first_byte(LONG)
        .with_first_content(LONG)
        .with_idle(LONG);
    config(upstream)
        .with_timeouts(timeouts)
        .with_retry(RetryPolicy::standard())
        .with_retry_seed(SEED)
}

fn start(config: Config, clock: &ManualClock) -> OpenRouterClient {
    OpenRouterClient::with_clock(config, Arc::new(clock.clone())).unwrap()
}

/// What was waited for between attempts. Every deadline of a call, that of `GET /key` of ten seconds too, is longer.
fn waits(clock: &ManualClock) -> Vec<Duration> {
    let waits = clock.requested_sleeps().into_iter();
    waits.filter(|wait| *wait <= Duration::from_secs(7)).collect()
}

/// Lets each wait between attempts pass as soon as it is begun.
async fn drive<T: Send + 'static>(clock: &ManualClock, call: impl Future<Output = T> + Send + 'static) -> T {
    let mut passed = waits(clock).len();
    let task = tokio::spawn(call);
    while !task.is_finished() {
        tokio::task::yield_now().await;
        if let Some(wait) = waits(clock).get(passed) {
            passed += 1;
            clock.advance(*wait);
        }
    }
    task.await.unwrap()
}

struct Outcome {
    attempts: usize,
    waits: Vec<Duration>,
    result: Result<String, Error>,
}

async fn chat(config: Config, upstream: &ScriptedUpstream) -> Outcome {
    let clock = ManualClock::new();
    let client = start(config, &clock);
    let result = drive(&clock, async move { client.chat(&cx(), &request()).await }).await;
    Outcome {
        attempts: upstream.requests().len(),
        waits: waits(&clock),
        result: result.map(|answer| answer.text()),
    }
}

async fn stream(config: Config, upstream: &ScriptedUpstream) -> (Outcome, Vec<StreamEvent>) {
    let clock = ManualClock::new();
    let client = start(config, &clock);
    let (events, failure) = drive(&clock, async move { read(&client, &request()).await }).await;
    let outcome = Outcome {
        attempts: upstream.requests().len(),
        waits: waits(&clock),
        result: failure.map_or(Ok(String::new()), Err),
    };
    (outcome, events)
}

fn refusal(status: u16, message: &str, metadata: serde_json::Value) -> Script {
    Script::json(
        status,
        json!({"error": {"code": status, "message": message, "metadata": metadata}}),
    )
}

/// What the rules say about this failure, told by the same seed: the waits of a call that fails to the last attempt.
fn expected(error: &Error) -> Vec<Duration> {
    let retrier = Retrier::new(RetryPolicy::standard()).with_seed(SEED);
    let mut retries = retrier.retries();
    std::iter::from_fn(|| retries.after_failure(error, retrier.budget())).collect()
}

async fn exhausts(script: Script) -> Outcome {
    let upstream = ScriptedUpstream::always(script.clone()).await;
    let outcome = chat(retrying(&upstream), &upstream).await;
    let error = outcome.result.as_ref().unwrap_err();
    assert_eq!(outcome.attempts, 3, "{error:?}");
    assert_eq!(outcome.waits, expected(error), "{error:?}");
    // A stream is no different before its first event.
    let upstream = ScriptedUpstream::always(script).await;
    let (streamed, _) = stream(retrying(&upstream), &upstream).await;
    assert_eq!((streamed.attempts, &streamed.waits), (3, &outcome.waits));
    outcome
}

async fn fails_at_once(script: Script) -> Error {
    let upstream = ScriptedUpstream::always(script.clone()).await;
    let outcome = chat(retrying(&upstream), &upstream).await;
    let error = outcome.result.unwrap_err();
    assert_eq!((outcome.attempts, outcome.waits), (1, Vec::new()), "{error:?}");
    let upstream = ScriptedUpstream::always(script).await;
    let (outcome, _) = stream(retrying(&upstream), &upstream).await;
    assert_eq!((outcome.attempts, outcome.waits), (1, Vec::new()), "{error:?}");
    error
}

#[tokio::test]
async fn what_fails_in_passing_is_made_again() {
    for (script, longest) in [
        (refusal(500, "m", json!({})), [50, 100]),
        (refusal(502, "m", json!({})), [50, 100]),
        (refusal(504, "m", json!({})), [50, 100]),
        (refusal(503, "m", json!({})), [1000, 2000]),
        (refusal(529, "m", json!({})), [1000, 2000]),
        (
            refusal(429, "Rate limit exceeded: free-models-per-min", json!({})),
            [1000, 2000],
        ),
    ] {
        let outcome = exhausts(script).await;
        assert_eq!(outcome.waits.len(), 2);
        for (wait, longest) in outcome.waits.iter().zip(longest) {
            assert!(*wait <= Duration::from_millis(longest), "{wait:?}");
        }
    }
}

#[tokio::test]
async fn a_later_attempt_may_succeed() {
    let bad = refusal(503, "m", json!({}));
    let upstream = ScriptedUpstream::sequence([bad.clone(), bad.clone(), Script::json(200, WHOLE)]).await;
    let outcome = chat(retrying(&upstream), &upstream).await;
    assert_eq!((outcome.result.unwrap().as_str(), outcome.attempts), ("Hi", 3));
    // Each attempt sends the same.
    let sent = upstream.requests();
    assert!(
        sent.iter()
            .all(|request| request.body == sent[0].body && request.path == sent[0].path)
    );

    let upstream = ScriptedUpstream::sequence([bad, Script::sse([CHUNK, FINISH, "[DONE]"])]).await;
    let (outcome, events) = stream(retrying(&upstream), &upstream).await;
    assert_eq!((outcome.attempts, fold(events).text().as_str()), (2, "Hi"));
}

#[tokio::test]
async fn what_will_fail_again_is_not_made_again() {
    for (status, message) in [
        (400, "bad temperature"),
        (401, "User not found."),
        (402, "This request requires more credits"),
        (403, "Key limit exceeded (total limit)"),
        (404, "No endpoints found for a/b"),
        (413, "m"),
        (422, "m"),
    ] {
        fails_at_once(refusal(status, message, json!({}))).await;
    }
}

/// Spent until midnight: a retry could only be refused again.
#[tokio::test]
async fn trap_21_a_daily_limit_is_not_asked_again() {
    let at = (3600 * 1000).to_string();
    for script in [
        refusal(429, "Rate limit exceeded: free-models-per-day", json!({})),
        refusal(
            429,
            "Rate limit exceeded: free-models-per-day-high-balance. x",
            json!({}),
        )
        .with_header("X-RateLimit-Reset", &at),
        refusal(429, "m", json!({"limit_source": "openrouter_free_tier_daily"})),
    ] {
        let error = fails_at_once(script).await;
        assert_eq!(error.kind(), ErrorKind::RateLimited);
    }
}

#[tokio::test]
async fn f05_the_servers_wait_is_kept_within_bounds() {
    let wait = |value: &'static str| async move {
        exhausts(refusal(429, "m", json!({})).with_header("Retry-After", value))
            .await
            .waits
    };
    // As asked, where that is within five seconds of what the rules compute.
    assert_eq!(wait("4").await, [Duration::from_secs(4); 2]);
    let dated = refusal(429, "m", json!({})).with_header("Retry-After", "Thu, 01 Jan 1970 00:00:03 GMT");
    let upstream = ScriptedUpstream::always(dated).await;
    let outcome = chat(retrying(&upstream), &upstream).await;
    assert_eq!(outcome.waits[0], Duration::from_secs(3));
    for waited in wait("30").await {
        assert!((5..=7).contains(&waited.as_secs()), "{waited:?}");
    }
    // No less than computed, and no attention to what is no time.
    let computed = expected(&Error::new(ErrorKind::RateLimited, "m").with_delivery(Delivery::Answered));
    for value in ["0", "-1", "soon", "1.5", ""] {
        assert_eq!(wait(value).await, computed, "{value:?}");
    }
    // Who asks for an absurd wait is taken at their word, and the caller is told.
    let error = fails_at_once(refusal(429, "m", json!({})).with_header("Retry-After", "1000000000")).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
}

/// Money that calls under way hold comes back; money that is gone does not.
#[tokio::test]
async fn f06_a_budget_in_flight_is_waited_for() {
    let held = json!({"limit_source": "openrouter_in_flight_budget", "reason": "in_flight_budget_exhausted"});
    let outcome = exhausts(refusal(402, "m", held).with_header("Retry-After", "2")).await;
    assert_eq!(outcome.waits, [Duration::from_secs(2); 2]);
    for source in ["openrouter_credits", "openrouter_key_limit"] {
        fails_at_once(refusal(402, "m", json!({"limit_source": source}))).await;
    }
}

#[tokio::test]
async fn f07_a_budget_that_is_spent_is_not_asked_again() {
    for source in [
        "openrouter_guardrail_budget",
        "openrouter_workspace_budget",
        "openrouter_key_limit",
    ] {
        let metadata = json!({"limit_source": source, "resets_at": "1970-01-01T01:00:00Z"});
        let error = fails_at_once(refusal(403, "m", metadata)).await;
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    }
}

#[tokio::test]
async fn f12_an_error_under_status_200_is_inside_the_boundary() {
    exhausts(Script::json(200, r#"{"error":{"code":502,"message":"m"}}"#)).await;
    let upstream = ScriptedUpstream::sequence([
        Script::json(
            200,
            r#"{"id":"gen-1","choices":null,"error":{"code":"server_error","message":"m"}}"#,
        ),
        Script::json(200, WHOLE),
    ])
    .await;
    assert_eq!(chat(retrying(&upstream), &upstream).await.result.unwrap(), "Hi");
    // On routes other than chat too.
    let upstream = ScriptedUpstream::sequence([
        Script::json(200, r#"{"error":{"code":502,"message":"m"}}"#),
        Script::json(200, r#"{"data":{"usage":1}}"#),
    ])
    .await;
    let clock = ManualClock::new();
    let client = start(retrying(&upstream), &clock);
    assert!(drive(&clock, async move { client.key().await }).await.is_ok());
}

#[tokio::test]
async fn f16_an_error_before_the_first_event_is_inside_the_boundary() {
    let error = r#"{"id":"gen-1","error":{"code":429,"message":"m","metadata":{"error_type":"provider_overloaded"}},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;
    let bad = Script::sse([error, "[DONE]"]);
    let upstream = ScriptedUpstream::sequence([bad.clone(), Script::sse([CHUNK, FINISH, "[DONE]"])]).await;
    let (outcome, events) = stream(retrying(&upstream), &upstream).await;
    assert_eq!((outcome.attempts, fold(events).text().as_str()), (2, "Hi"));
    exhausts(bad).await;
}

#[tokio::test]
async fn f17_nothing_is_made_again_after_the_first_event() {
    let script = Script::sse([CHUNK, r#"{"error":{"code":503,"message":"m"}}"#]);
    let upstream = ScriptedUpstream::always(script).await;
    let generous = RetryPolicy::Standard(RetryRules::default().with_may_be_billed(true));
    let (outcome, events) = stream(retrying(&upstream).with_retry(generous), &upstream).await;
    assert_eq!((outcome.attempts, events.len()), (1, 2));
    assert_eq!(outcome.result.unwrap_err().delivery(), Delivery::Partial);
}

/// A call that may have been billed is not paid for twice, unless the caller says so. What costs nothing is.
#[tokio::test]
async fn what_may_have_been_billed() {
    let broken = [
        Script::new().reset(),
        Script::new().cut(),
        Script::json(200, WHOLE).cut_after(120),
        Script::json(200, ""),
        Script::sse([] as [&str; 0]),
        // An edge that lost its patience says nothing of who was working behind it.
        Script::html(524, "<html>"),
        refusal(524, "m", json!({})),
        Script::html(504, "<html>"),
    ];
    for script in broken {
        let error = fails_at_once(script.clone()).await;
        assert!(
            matches!(error.delivery(), Delivery::MaybeSent | Delivery::Partial),
            "{error:?}"
        );

        let upstream = ScriptedUpstream::always(script.clone()).await;
        let generous = RetryPolicy::Standard(RetryRules::default().with_may_be_billed(true));
        let outcome = chat(retrying(&upstream).with_retry(generous), &upstream).await;
        assert_eq!(outcome.attempts, 3, "{:?}", outcome.result);
    }
    let upstream = ScriptedUpstream::sequence([
        Script::html(524, "<html>"),
        Script::json(200, "{\"da").wrong_length(20),
        Script::json(200, r#"{"data":{"usage":1}}"#),
    ])
    .await;
    let clock = ManualClock::new();
    let client = start(retrying(&upstream), &clock);
    assert!(drive(&clock, async move { client.key().await }).await.is_ok());
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn f01_a_refused_connection_is_tried_again() {
    let upstream = ScriptedUpstream::always(Script::new()).await;
    // A port that was free a moment ago, and at which nobody listens.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let config = retrying(&upstream).with_base_url(&format!("http://{closed}/api/v1"));
    let clock = ManualClock::new();
    let client = start(config, &clock);
    let error = drive(&clock, async move { client.chat(&cx(), &request()).await })
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Transport, Delivery::NotSent)
    );
    assert_eq!(waits(&clock).len(), 2);
    assert_eq!(waits(&clock), expected(&error));
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn without_a_policy_there_is_one_attempt() {
    for script in [
        refusal(429, "m", json!({})).with_header("Retry-After", "1"),
        refusal(503, "m", json!({})),
        refusal(402, "m", json!({"limit_source": "openrouter_in_flight_budget"})),
        Script::new().reset(),
        Script::json(200, r#"{"error":{"code":502,"message":"m"}}"#),
        Script::sse([r#"{"error":{"code":502,"message":"m"}}"#]),
    ] {
        let upstream = ScriptedUpstream::always(script).await;
        let none = || retrying(&upstream).with_retry(RetryPolicy::None);
        assert!(chat(none(), &upstream).await.waits.is_empty());
        assert_eq!(upstream.requests().len(), 1);
        assert!(stream(none(), &upstream).await.0.waits.is_empty());
        assert_eq!(upstream.requests().len(), 2);
        let clock = ManualClock::new();
        let client = start(none(), &clock);
        assert!(drive(&clock, async move { client.key().await }).await.is_err());
        assert_eq!(upstream.requests().len(), 3);
    }
}

#[tokio::test]
async fn the_first_attempt_is_never_delayed() {
    // Even with nothing left in the budget, and after any number of failures.
    let upstream = ScriptedUpstream::always(refusal(503, "m", json!({}))).await;
    let poor = RetryPolicy::Standard(RetryRules::default().with_bucket(0));
    let clock = ManualClock::new();
    let client = start(retrying(&upstream).with_retry(poor), &clock);
    for n in 1..=5 {
        let client = client.clone();
        let error = drive(&clock, async move { client.chat(&cx(), &request()).await })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert_eq!((upstream.requests().len(), waits(&clock).len()), (n, 0));
    }
}

#[tokio::test]
async fn clones_share_one_budget() {
    let upstream = ScriptedUpstream::always(refusal(503, "m", json!({}))).await;
    // Enough for three retries of this kind.
    let rules = RetryRules::default().with_bucket(17);
    let clock = ManualClock::new();
    let client = start(
        retrying(&upstream).with_retry(RetryPolicy::Standard(rules)),
        &clock,
    );
    let (chats, keys) = (client.clone(), client.clone());
    drive(&clock, async move { chats.chat(&cx(), &request()).await })
        .await
        .unwrap_err();
    assert_eq!(upstream.requests().len(), 3);
    // What costs nothing is paid from the same budget.
    drive(&clock, async move { keys.key().await }).await.unwrap_err();
    assert_eq!(upstream.requests().len(), 5);
    drive(&clock, async move { client.chat(&cx(), &request()).await })
        .await
        .unwrap_err();
    assert_eq!(upstream.requests().len(), 6);
}

/// Lets the one wait of `wait` pass that fits before a deadline.
async fn one_wait<T: Send + 'static>(
    clock: &ManualClock,
    upstream: &ScriptedUpstream,
    wait: Duration,
    call: impl Future<Output = T> + Send + 'static,
) -> T {
    let task = tokio::spawn(call);
    upstream.next_request().await;
    while !clock.requested_sleeps().contains(&wait) {
        tokio::task::yield_now().await;
    }
    clock.advance(wait);
    task.await.unwrap()
}

#[tokio::test]
async fn no_wait_goes_past_the_callers_deadline() {
    let wait = Duration::from_secs(4);
    let script = refusal(429, "m", json!({})).with_header("Retry-After", "4");
    let upstream = ScriptedUpstream::always(script).await;
    let clock = ManualClock::new();
    let client = start(retrying(&upstream), &clock);
    let cx = cx().with_deadline(clock.now() + Duration::from_secs(6));
    let call = async move { client.chat(&cx, &request()).await };
    let error = one_wait(&clock, &upstream, wait, call).await.unwrap_err();
    // One wait of four seconds fits, two do not; the caller sees the server's refusal, not a timeout.
    assert_eq!(
        (error.kind(), upstream.requests().len()),
        (ErrorKind::RateLimited, 2)
    );

    // What a call may take in all holds for all its attempts: ten seconds for the key.
    let wait = Duration::from_secs(5);
    let script = refusal(429, "m", json!({})).with_header("Retry-After", "5");
    let upstream = ScriptedUpstream::always(script).await;
    let clock = ManualClock::new();
    let client = start(retrying(&upstream), &clock);
    let error = one_wait(&clock, &upstream, wait, async move { client.key().await })
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), upstream.requests().len()),
        (ErrorKind::RateLimited, 2)
    );
    // And the last attempt gets what is left of them: as long as the wait was, which is among the sleeps too.
    let left = Duration::from_secs(10) - wait;
    let sleeps = clock.requested_sleeps().into_iter();
    assert_eq!(sleeps.filter(|sleep| *sleep == left).count(), 2);
}

#[tokio::test]
async fn the_seed_decides_the_jitter() {
    let waited = |seed: Option<u64>| async move {
        let upstream = ScriptedUpstream::always(refusal(503, "m", json!({}))).await;
        let config = match seed {
            Some(seed) => retrying(&upstream).with_retry_seed(seed),
            None => config(&upstream)
                .with_timeouts(
                    Timeouts::default()
                        .with_connect(LONG)
                        .with_first_byte(LONG)
                        .with_first_content(LONG)
                        .with_idle(LONG),
                )
                .with_retry(RetryPolicy::standard()),
        };
        chat(config, &upstream).await.waits
    };
    assert_eq!(waited(Some(1)).await, waited(Some(1)).await);
    assert_ne!(waited(Some(1)).await, waited(Some(2)).await);
    assert_eq!(waited(None).await.len(), 2);
}

#[tokio::test]
async fn dropping_a_call_ends_its_retries() {
    let upstream = ScriptedUpstream::always(refusal(503, "m", json!({}))).await;
    let clock = ManualClock::new();
    let client = start(retrying(&upstream), &clock);
    let task = tokio::spawn(async move { client.chat(&cx(), &request()).await.map(drop) });
    while waits(&clock).is_empty() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    clock.advance(Duration::from_secs(60));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.requests().len(), 1);
}

/// An error beside tokens, a cost or part of an answer may be billed, whatever it calls itself.
#[tokio::test]
async fn what_has_used_something_is_not_made_again() {
    let error = r#""error":{"code":502,"message":"m"}"#;
    for beside in [
        r#""usage":{"prompt_tokens":3,"completion_tokens":0}"#,
        r#""usage":{"prompt_tokens":0,"cost":0.01}"#,
        r#""choices":[{"index":0,"message":{"content":"Hi"},"delta":{"content":"Hi"}}]"#,
        r#""choices":[{"index":0,"message":{"tool_calls":[{"id":"c"}]},"delta":{"tool_calls":[{"id":"c"}]}}]"#,
    ] {
        let body = format!("{{{error},{beside}}}");
        let told = fails_at_once(Script::json(200, &body)).await;
        assert_eq!(told.delivery(), Delivery::Partial, "{body}");
        let told = fails_at_once(Script::sse([&body])).await;
        assert!(told.delivery() != Delivery::Answered, "{body}");
        // On the routes that share a reader too.
        let upstream = ScriptedUpstream::always(Script::json(200, &body)).await;
        let clock = ManualClock::new();
        let client = start(retrying(&upstream), &clock);
        let call = RawRequest::post("completions").unwrap().with_retry_allowed();
        let told = drive(&clock, async move { client.raw(&cx(), &call).await })
            .await
            .unwrap_err();
        assert_eq!(
            (told.delivery(), upstream.requests().len()),
            (Delivery::Partial, 1)
        );
    }
    // Nothing used, nothing said: a refusal.
    for beside in [
        r#""usage":{"prompt_tokens":0,"completion_tokens":0,"cost":0}"#,
        r#""choices":[{"index":0,"message":{"content":""},"delta":{"content":""}}]"#,
    ] {
        exhausts(Script::json(200, format!("{{{error},{beside}}}"))).await;
    }
}

#[tokio::test]
async fn a_raw_call_that_may_change_something_is_made_once() {
    for (method, allowed, attempts) in [
        (RawMethod::Get, false, 3),
        (RawMethod::Put, false, 3),
        (RawMethod::Post, false, 1),
        (RawMethod::Patch, false, 1),
        (RawMethod::Delete, false, 1),
        (RawMethod::Post, true, 3),
        (RawMethod::Patch, true, 3),
        (RawMethod::Delete, true, 3),
    ] {
        let upstream = ScriptedUpstream::always(refusal(502, "m", json!({}))).await;
        let clock = ManualClock::new();
        let client = start(retrying(&upstream), &clock);
        let mut call = RawRequest::new(method, "guardrails").unwrap();
        if allowed {
            call = call.with_retry_allowed();
        }
        let error = drive(&clock, async move { client.raw(&cx(), &call).await })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Upstream);
        assert_eq!(upstream.requests().len(), attempts, "{method:?} {allowed}");
    }
}

/// Taken away twice is "no such thing" the second time, and made twice is two; unless the first time it has not left.
#[tokio::test]
async fn what_was_sent_to_make_or_to_take_away_is_not_sent_again() {
    let gone = || refusal(404, "no such key", json!({}));
    for first in [
        Script::new().reset(),
        refusal(502, "m", json!({})),
        refusal(429, "m", json!({})),
        Script::html(524, "<html>"),
    ] {
        let upstream = ScriptedUpstream::sequence([first.clone(), gone()]).await;
        let clock = ManualClock::new();
        let client = start(retrying(&upstream), &clock);
        let error = drive(&clock, async move { client.delete_key("a").await })
            .await
            .unwrap_err();
        assert_ne!(error.kind(), ErrorKind::NoRoute, "{error:?}");
        assert_eq!(upstream.requests().len(), 1, "{error:?}");

        let upstream = ScriptedUpstream::sequence([first, gone()]).await;
        let clock = ManualClock::new();
        let client = start(retrying(&upstream), &clock);
        let call = async move { client.create_key(&NewKey::new("n")).await.map(drop) };
        assert!(drive(&clock, call).await.is_err());
        assert_eq!(upstream.requests().len(), 1);
    }
    // Nobody listens: nothing was sent, so the policy holds as for any call.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let upstream = ScriptedUpstream::always(Script::new()).await;
    for policy in [RetryPolicy::standard(), RetryPolicy::None] {
        let config = retrying(&upstream)
            .with_base_url(&format!("http://{closed}/api/v1"))
            .with_retry(policy);
        let clock = ManualClock::new();
        let client = start(config, &clock);
        let error = drive(&clock, async move { client.delete_key("a").await })
            .await
            .unwrap_err();
        assert_eq!(error.delivery(), Delivery::NotSent);
        let expected = if policy == RetryPolicy::None {
            Vec::new()
        } else {
            expected(&error)
        };
        assert_eq!(waits(&clock), expected);
    }
}

#[tokio::test]
async fn the_configured_total_holds_for_all_attempts() {
    let wait = Duration::from_secs(5);
    let script = refusal(429, "m", json!({})).with_header("Retry-After", "5");
    let upstream = ScriptedUpstream::always(script).await;
    let clock = ManualClock::new();
    let config = retrying(&upstream).with_timeouts(
        Timeouts::default()
            .with_connect(LONG)
            .with_first_byte(LONG)
            .with_first_content(LONG)
            .with_idle(LONG)
            .with_total(Duration::from_secs(9)),
    );
    let client = start(config, &clock);
    let call = async move { client.chat(&cx(), &request()).await };
    let error = one_wait(&clock, &upstream, wait, call).await.unwrap_err();
    assert_eq!(
        (error.kind(), upstream.requests().len()),
        (ErrorKind::RateLimited, 2)
    );
    // The last attempt gets what is left.
    assert!(clock.requested_sleeps().contains(&Duration::from_secs(4)));
}

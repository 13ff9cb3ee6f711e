//! A client that keeps its limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use integration_core::chat::{ChatResponse, Choice, Message};
use integration_core::testing::{InMemoryClient, Scripted};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatRequest, Clock, Delivery, EmbeddingClient,
    EmbeddingRequest, EmbeddingResponse, Error, ErrorKind, HealthReport, HealthStatus, IntegrationClient,
    ManualClock, ModelId, ProviderId, RateLimitFacts, RatePeriod, RateWindow, RequestId, Result, RetryClass,
    StreamEvent, Usage,
};
use rate_limits::{Attempt, LimitKind, LimitRules, Limits, RateLimited, RateLimiter};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn model() -> ModelId {
    "acme/swift".parse().unwrap()
}

fn request() -> ChatRequest {
    let mut request = ChatRequest::new(model(), vec![Message::user("eight by")]);
    request.max_tokens = Some(98);
    request
}

fn context() -> CallContext {
    CallContext::new(RequestId::new("r-1").unwrap())
}

fn answer(usage: Option<Usage>) -> ChatResponse {
    let mut response = ChatResponse::new(vec![Choice::new(0, Message::assistant("yes"))]);
    response.usage = usage;
    response
}

fn broken(usage: Option<Usage>, error: Error) -> Scripted {
    let mut events = answer(usage).into_events();
    events.pop();
    Scripted::Stream(events, Some(error))
}

struct Case {
    client: RateLimited<InMemoryClient>,
    clock: ManualClock,
}

/// 100 tokens a minute, and an estimate of 100 for the request above: the second call waits unless the first gave back.
fn case(limits: Limits, script: impl IntoIterator<Item = Scripted>) -> Case {
    let clock = ManualClock::new();
    let rules = LimitRules::new().with("*".parse().unwrap(), limits);
    let limiter = RateLimiter::new(rules, Arc::new(clock.clone()));
    let inner = InMemoryClient::new("acme".parse::<ProviderId>().unwrap(), script);
    Case {
        client: RateLimited::new(inner, limiter),
        clock,
    }
}

impl Case {
    /// Tokens that are free now.
    async fn free(&self) -> u64 {
        let mut free = 0;
        for tokens in (0..=100).rev() {
            if let Attempt::Granted(permit) =
                self.client.limiter().try_acquire(&model(), tokens).await.unwrap()
            {
                drop(permit);
                free = tokens;
                break;
            }
        }
        free
    }
}

fn tokens() -> Limits {
    Limits::none().with_tokens_per_minute(100)
}

#[tokio::test]
async fn it_is_the_client_for_everything_else() {
    let inner = InMemoryClient::new("acme".parse::<ProviderId>().unwrap(), [Scripted::text("hi")])
        .with_health(HealthStatus::Degraded)
        .with_capabilities(CapabilitySet::of(Capability::Chat));
    let limiter = RateLimiter::new(LimitRules::new(), Arc::new(ManualClock::new()));
    let client = RateLimited::new(inner, limiter).with_default_completion(5);
    assert_eq!(client.id().as_str(), "acme");
    assert_eq!(client.capabilities(), CapabilitySet::of(Capability::Chat));
    assert_eq!(client.health().await.status, HealthStatus::Degraded);
    let answer = client.chat(&context(), &request()).await.unwrap();
    assert_eq!(answer.text(), "hi");
    assert_eq!(client.client().requests(), [request()]);
    assert!(format!("{client:?}").contains("RateLimited"));
}

#[tokio::test]
async fn what_was_really_used_is_what_counts() {
    let mut from_cache = Usage::of_tokens(50, 50);
    from_cache.answer_from_cache = true;
    let mut no_total = Usage::of_tokens(10, 20);
    no_total.total_tokens = None;
    for (usage, used) in [
        (Some(Usage::of_tokens(10, 20)), 30),
        (Some(no_total), 30),
        (Some(Usage::of_tokens(100, 200)), 100),
        (Some(from_cache), 0),
        (Some(Usage::default()), 100),
        // Half a report says nothing of the other half.
        (Some(only(Some(10), None)), 100),
        (Some(only(None, Some(10))), 100),
        (None, 100),
    ] {
        let whole = case(tokens(), [Scripted::answer(answer(usage.clone()))]);
        whole.client.chat(&context(), &request()).await.unwrap();
        assert_eq!(whole.free().await, 100 - used, "{usage:?}");

        let streamed = case(tokens(), [Scripted::answer(answer(usage.clone()))]);
        let stream = streamed.client.chat_stream(&context(), &request()).await.unwrap();
        let count = answer(usage.clone()).into_events().len();
        assert!(stream.size_hint().0 <= count);
        assert_eq!(stream.collect::<Vec<_>>().await.len(), count);
        assert_eq!(streamed.free().await, 100 - used, "{usage:?}");
    }
}

fn only(prompt: Option<u64>, completion: Option<u64>) -> Usage {
    let mut usage = Usage::default();
    (usage.prompt_tokens, usage.completion_tokens) = (prompt, completion);
    usage
}

#[tokio::test]
async fn an_error_settles_by_what_it_says() {
    let error = |delivery| Error::new(ErrorKind::Upstream, "no").with_delivery(delivery);
    for (error, used) in [
        (error(Delivery::NotSent), 0),
        (error(Delivery::Answered), 0),
        (error(Delivery::MaybeSent), 100),
        (error(Delivery::Partial), 100),
        (error(Delivery::Partial).with_usage(Usage::of_tokens(10, 5)), 15),
    ] {
        for streamed in [false, true] {
            let case = case(tokens(), [Scripted::Fail(error_like(&error))]);
            let failed = match streamed {
                true => case.client.chat_stream(&context(), &request()).await.err(),
                false => case.client.chat(&context(), &request()).await.err(),
            };
            assert_eq!(failed.unwrap().delivery(), error.delivery());
            assert_eq!(case.free().await, 100 - used, "{error:?}");
        }
        let late = case(tokens(), [broken(None, error_like(&error))]);
        let stream = late.client.chat_stream(&context(), &request()).await.unwrap();
        assert!(stream.collect::<Vec<_>>().await.last().unwrap().is_err());
        assert_eq!(late.free().await, 100 - used, "{error:?}");
    }
    // Usage that came before the error is the truth.
    let late = case(
        tokens(),
        [broken(Some(Usage::of_tokens(3, 4)), error(Delivery::Partial))],
    );
    let stream = late.client.chat_stream(&context(), &request()).await.unwrap();
    let _ = stream.collect::<Vec<_>>().await;
    assert_eq!(late.free().await, 93);
}

fn error_like(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_delivery(error.delivery());
    error.usage().cloned().into_iter().fold(copy, Error::with_usage)
}

#[tokio::test]
async fn a_refused_request_counts_as_a_request() {
    let refused = || Error::new(ErrorKind::InvalidRequest, "no").with_delivery(Delivery::Answered);
    let unsent = || Error::new(ErrorKind::Transport, "no").with_delivery(Delivery::NotSent);
    let limits = Limits::none().with_requests_per_minute(1);
    let case = case(
        limits,
        [
            Scripted::Fail(unsent()),
            Scripted::Fail(refused()),
            Scripted::text("late"),
        ],
    );
    let deadline = case.clock.now() + secs(1);
    let cx = context().with_deadline(deadline);
    assert_eq!(
        case.client.chat(&cx, &request()).await.unwrap_err().kind(),
        ErrorKind::Transport
    );
    assert_eq!(
        case.client.chat(&cx, &request()).await.unwrap_err().kind(),
        ErrorKind::InvalidRequest
    );
    let error = case.client.chat(&cx, &request()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::RateLimited, Delivery::NotSent)
    );
    assert_eq!(error.provider().map(ProviderId::as_str), Some("acme"));
    assert_eq!(error.retry_after(), Some(secs(60)));
    assert_eq!(case.client.client().requests().len(), 2, "the third never left");
}

#[tokio::test]
async fn a_stream_keeps_its_place_until_its_end_its_error_or_its_drop() {
    let limits = Limits::none().with_concurrency(1);
    let partial = Error::new(ErrorKind::Truncated, "cut").with_delivery(Delivery::Partial);
    let case = case(
        limits,
        [
            Scripted::text("one"),
            broken(Some(Usage::of_tokens(1, 1)), partial),
            Scripted::text("three"),
            Scripted::Stream(answer(None).into_events(), None),
        ],
    );
    let soon = context().with_deadline(case.clock.now());
    let full = async || case.client.chat_stream(&soon, &request()).await.is_err();

    let mut stream = case.client.chat_stream(&context(), &request()).await.unwrap();
    while let Some(event) = stream.next().await {
        let ended = matches!(event, Ok(StreamEvent::End));
        assert_eq!(
            case.client
                .limiter()
                .try_acquire(&model(), 1)
                .await
                .map(free)
                .unwrap(),
            ended
        );
    }
    assert!(stream.next().await.is_none());

    let mut stream = case.client.chat_stream(&context(), &request()).await.unwrap();
    assert!(full().await);
    while let Some(event) = stream.next().await {
        assert_eq!(
            case.client
                .limiter()
                .try_acquire(&model(), 1)
                .await
                .map(free)
                .unwrap(),
            event.is_err()
        );
    }

    let mut stream = case.client.chat_stream(&context(), &request()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok() && full().await);
    drop(stream);
    assert!(!full().await);
}

fn free(attempt: Attempt) -> bool {
    matches!(attempt, Attempt::Granted(_))
}

#[tokio::test]
async fn f05_a_429_at_any_point_of_a_call_is_learnt() {
    let refusal = || {
        Error::new(ErrorKind::RateLimited, "no")
            .with_delivery(Delivery::Answered)
            .with_retry_after(secs(30))
    };
    for late in [false, true] {
        let script = match late {
            true => broken(None, refusal().with_delivery(Delivery::Partial)),
            false => Scripted::Fail(refusal()),
        };
        let case = case(Limits::none(), [script, Scripted::text("later")]);
        let error = case.client.chat(&context(), &request()).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(secs(30)));
        let cx = context().with_deadline(case.clock.now() + secs(29));
        let error = case.client.chat(&cx, &request()).await.unwrap_err();
        assert_eq!(
            (error.delivery(), error.retry_class()),
            (Delivery::NotSent, RetryClass::SameDeployment)
        );
        assert_eq!(case.client.client().requests().len(), 1);
        // The limiter's own error teaches nothing: the pause is no longer than it was.
        case.clock.advance(secs(30));
        assert_eq!(
            case.client.chat(&context(), &request()).await.unwrap().text(),
            "later"
        );
    }
}

#[tokio::test]
async fn the_head_of_an_answer_teaches() {
    let told = || {
        let window = RateWindow::new()
            .with_remaining(0)
            .with_resets_in(secs(12))
            .with_period(RatePeriod::Minute);
        let mut response = answer(Some(Usage::of_tokens(1, 1)));
        response.rate_limits = Some(Box::new(RateLimitFacts::default().with_requests(window)));
        Scripted::answer(response)
    };
    let whole = case(Limits::none(), [told()]);
    whole.client.chat(&context(), &request()).await.unwrap();
    let streamed = case(Limits::none(), [told()]);
    let mut stream = streamed.client.chat_stream(&context(), &request()).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(StreamEvent::Start(_)))));
    for case in [&whole, &streamed] {
        let attempt = case.client.limiter().try_acquire(&model(), 1).await.unwrap();
        assert!(
            matches!(attempt, Attempt::Wait { limit: LimitKind::Told, wait: Some(wait) } if wait == secs(12)),
            "{attempt:?}"
        );
    }
}

#[tokio::test]
async fn a_large_completion_limit_does_not_shut_a_call_out() {
    let case = case(tokens(), [Scripted::answer(answer(Some(Usage::of_tokens(2, 3))))]);
    let mut large = request();
    large.max_tokens = Some(64_000);
    case.client.chat(&context(), &large).await.unwrap();
    assert_eq!(case.free().await, 95);
    // A prompt that does not fit does.
    let long = ChatRequest::new(model(), vec![Message::user("x".repeat(401))]);
    let error = case.client.chat(&context(), &long).await.unwrap_err();
    assert_eq!(error.retry_class(), RetryClass::OtherDeployment);
}

#[tokio::test]
async fn a_limit_that_was_told_cuts_a_large_completion_too() {
    let told = RateLimitFacts::default().with_tokens(
        RateWindow::new()
            .with_limit(100)
            .with_remaining(100)
            .with_resets_in(secs(60))
            .with_period(RatePeriod::Minute),
    );
    for configured in [None, Some(5_000)] {
        let mut limits = Limits::none();
        limits.tokens_per_minute = configured;
        let case = case(limits, [Scripted::answer(answer(Some(Usage::of_tokens(2, 3))))]);
        case.client.limiter().learn_facts(&model(), &told);
        let mut large = request();
        large.max_tokens = Some(64_000);
        // It goes at once, where it waited for the limit to be forgotten.
        let cx = context().with_deadline(case.clock.now());
        case.client.chat(&cx, &large).await.unwrap();
        assert_eq!(case.free().await, 95);
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_counts_and_frees_its_place() {
    let client = RateLimited::new(
        Endless("acme".parse().unwrap()),
        RateLimiter::new(
            LimitRules::new().with(
                "*".parse().unwrap(),
                Limits::none().with_concurrency(1).with_requests_per_minute(2),
            ),
            Arc::new(ManualClock::new()),
        ),
    );
    for _ in 0..2 {
        let (cx, request) = (context(), request());
        assert!(client.chat(&cx, &request).now_or_never().is_none());
    }
    let attempt = client.limiter().try_acquire(&model(), 1).await.unwrap();
    assert!(
        matches!(
            attempt,
            Attempt::Wait {
                limit: LimitKind::RequestsPerMinute,
                ..
            }
        ),
        "{attempt:?}"
    );
}

/// Never answers.
#[derive(Debug)]
struct Endless(ProviderId);

#[async_trait]
impl IntegrationClient for Endless {
    fn id(&self) -> &ProviderId {
        &self.0
    }

    fn capabilities(&self) -> CapabilitySet {
        CapabilitySet::of(Capability::Chat)
    }

    async fn health(&self) -> HealthReport {
        std::future::pending().await
    }
}

#[async_trait]
impl ChatClient for Endless {
    async fn chat_stream(
        &self,
        _cx: &CallContext,
        _request: &ChatRequest,
    ) -> Result<integration_core::ChatStream> {
        std::future::pending().await
    }
}

/// Embeds as told.
#[derive(Debug)]
struct Embeds(ProviderId, Mutex<Vec<Result<EmbeddingResponse>>>);

#[async_trait]
impl IntegrationClient for Embeds {
    fn id(&self) -> &ProviderId {
        &self.0
    }

    fn capabilities(&self) -> CapabilitySet {
        CapabilitySet::of(Capability::Embeddings)
    }

    async fn health(&self) -> HealthReport {
        std::future::pending().await
    }
}

#[async_trait]
impl EmbeddingClient for Embeds {
    async fn embed(&self, _cx: &CallContext, _request: &EmbeddingRequest) -> Result<EmbeddingResponse> {
        self.1.lock().unwrap().remove(0)
    }
}

#[tokio::test]
async fn embeddings_are_limited_too() {
    let mut answer = EmbeddingResponse::new("swift", Vec::new());
    answer.usage = Some(Usage::of_tokens(7, 0));
    let refused = Error::new(ErrorKind::RateLimited, "no")
        .with_delivery(Delivery::Answered)
        .with_retry_after(secs(5));
    let answers = vec![
        Ok(answer),
        Ok(EmbeddingResponse::new("swift", Vec::new())),
        Err(refused),
    ];
    let clock = ManualClock::new();
    let rules = LimitRules::new().with("*".parse().unwrap(), tokens());
    let client = RateLimited::new(
        Embeds("acme".parse().unwrap(), Mutex::new(answers)),
        RateLimiter::new(rules, Arc::new(clock.clone())),
    );
    let request = EmbeddingRequest::new(model(), vec!["x".repeat(40)]);
    client.embed(&context(), &request).await.unwrap();
    client.embed(&context(), &request).await.unwrap();
    client.embed(&context(), &request).await.unwrap_err();
    clock.advance(secs(5));
    assert!(free(client.limiter().try_acquire(&model(), 83).await.unwrap()));
    assert!(!free(client.limiter().try_acquire(&model(), 84).await.unwrap()));
}

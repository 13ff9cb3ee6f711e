//! The traits, their stand-ins, and health.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use integration_core::chat::{ChatRequest, Choice, Message, StreamStart};
use integration_core::testing::{InMemoryClient, MockChat, Scripted, shared_data};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatResponse, Clock, Delivery, EmbeddingClient,
    EmbeddingRequest, Error, ErrorKind, HealthAggregate, HealthReport, HealthStatus, IntegrationClient,
    ManualClock, ModelId, ProviderId, RequestId, RetryClass, StreamEvent,
};

fn provider() -> ProviderId {
    ProviderId::new("memory").unwrap()
}

fn cx() -> CallContext {
    CallContext::new(RequestId::new("req-1").unwrap())
}

fn request(text: &str) -> ChatRequest {
    ChatRequest::new(ModelId::new("a/m").unwrap(), vec![Message::user(text)])
}

#[test]
fn a_context_is_built_up() {
    let deadline = ManualClock::new().now();
    let bare = cx();
    assert_eq!((bare.attempt, bare.deadline, bare.headers.len()), (1, None, 0));
    let full = bare
        .with_attempt(2)
        .with_deadline(deadline)
        .with_headers(vec![("x-a".into(), "1".into())]);
    assert_eq!(
        (full.request.as_str(), full.attempt, full.deadline),
        ("req-1", 2, Some(deadline))
    );
    assert_eq!(full.headers, [("x-a".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn the_in_memory_client_answers_from_its_list() {
    let busy = Error::new(ErrorKind::Overloaded, "busy");
    let cut = Error::new(ErrorKind::Transport, "reset").with_delivery(Delivery::Partial);
    let start = StreamEvent::Start(StreamStart::default());
    let client = InMemoryClient::new(
        provider(),
        [
            Scripted::text("one"),
            Scripted::Fail(busy),
            Scripted::Stream(vec![start.clone()], Some(cut)),
            Scripted::Stream(vec![start], None),
            Scripted::answer(ChatResponse::new(vec![Choice::new(0, Message::assistant("two"))])),
        ],
    );
    let clients: Vec<Arc<dyn ChatClient>> = vec![Arc::new(client)];
    let client = &clients[0];
    assert_eq!(client.chat(&cx(), &request("a")).await.unwrap().text(), "one");
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(client.chat(&cx(), &request("b")).await.unwrap_err().kind());
    }
    assert_eq!(
        kinds,
        [ErrorKind::Overloaded, ErrorKind::Transport, ErrorKind::Truncated]
    );
    assert_eq!(client.chat(&cx(), &request("c")).await.unwrap().text(), "two");
    let over = client.chat(&cx(), &request("d")).await.unwrap_err();
    assert_eq!(
        (over.kind(), over.retry_class()),
        (ErrorKind::Config, RetryClass::Never)
    );
}

#[tokio::test]
async fn the_in_memory_client_keeps_what_it_was_asked() {
    let chat = CapabilitySet::of(Capability::Chat);
    let client = InMemoryClient::new(provider(), [Scripted::text("one")]);
    assert!(
        client
            .capabilities()
            .contains_all(chat.with(Capability::Streaming).with(Capability::Embeddings))
    );
    let client = client.with_health(HealthStatus::Degraded).with_capabilities(chat);
    assert_eq!((client.id(), client.capabilities()), (&provider(), chat));
    let report = client.health().await;
    assert_eq!((report.id, report.status), (provider(), HealthStatus::Degraded));
    client.chat(&cx(), &request("a")).await.unwrap();
    let _ = client.chat_stream(&cx(), &request("b")).await;
    assert_eq!(client.requests(), [request("a"), request("b")]);
    let texts = EmbeddingRequest::new(ModelId::new("a/e").unwrap(), vec!["abc".into(), String::new()]);
    let vectors = client.embed(&cx(), &texts).await.unwrap();
    let flat: Vec<_> = vectors
        .embeddings
        .into_iter()
        .map(|e| (e.index, e.vector))
        .collect();
    assert_eq!(
        (flat, vectors.usage),
        (vec![(0, vec![3.0]), (1, vec![0.0])], None)
    );
}

#[derive(Debug)]
struct ChatOnly(ProviderId);

#[async_trait::async_trait]
impl IntegrationClient for ChatOnly {
    fn id(&self) -> &ProviderId {
        &self.0
    }
    fn capabilities(&self) -> CapabilitySet {
        CapabilitySet::EMPTY
    }
    async fn health(&self) -> HealthReport {
        HealthReport::new(self.0.clone(), HealthStatus::Healthy, SystemTime::UNIX_EPOCH)
    }
}

impl EmbeddingClient for ChatOnly {}

#[tokio::test]
async fn an_ability_not_implemented_is_unsupported() {
    let texts = EmbeddingRequest::new(ModelId::new("a/e").unwrap(), vec![]);
    let error = ChatOnly(provider()).embed(&cx(), &texts).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Unsupported, Delivery::NotSent)
    );
    assert_eq!(error.provider(), Some(&provider()));
}

#[tokio::test]
async fn the_mock_expects_its_calls() {
    let mut mock = MockChat::new();
    mock.expect_id().return_const(provider());
    mock.expect_capabilities()
        .return_const(CapabilitySet::of(Capability::Chat));
    mock.expect_chat()
        .withf(|cx, request| cx.attempt == 2 && request.model.as_str() == "a/m")
        .times(1)
        .returning(|_, _| {
            Ok(ChatResponse::new(vec![Choice::new(
                0,
                Message::assistant("mocked"),
            )]))
        });
    let client: Arc<dyn ChatClient> = Arc::new(mock);
    assert_eq!(client.id().as_str(), "memory");
    assert!(client.capabilities().contains(Capability::Chat));
    assert_eq!(
        client
            .chat(&cx().with_attempt(2), &request("x"))
            .await
            .unwrap()
            .text(),
        "mocked"
    );
}

#[test]
fn health_of_several_is_summed_up() {
    use HealthStatus::{Degraded, Healthy, Unhealthy};
    for (statuses, expected) in [
        (vec![], Unhealthy),
        (vec![Healthy], Healthy),
        (vec![Healthy, Healthy], Healthy),
        (vec![Degraded], Degraded),
        (vec![Healthy, Degraded], Degraded),
        (vec![Healthy, Unhealthy], Degraded),
        (vec![Degraded, Unhealthy], Degraded),
        (vec![Unhealthy, Unhealthy], Unhealthy),
    ] {
        let report = |status: &HealthStatus| HealthReport::new(provider(), *status, SystemTime::UNIX_EPOCH);
        let whole = HealthAggregate::new(statuses.iter().map(report).collect());
        assert_eq!(whole.status, expected, "{statuses:?}");
        assert!(whole.reports.iter().map(|report| report.status).eq(statuses));
    }
    assert!(Healthy < Degraded && Degraded < Unhealthy);
    assert_eq!(
        [Healthy, Degraded, Unhealthy].map(HealthStatus::as_str),
        ["healthy", "degraded", "unhealthy"]
    );
}

#[test]
fn a_report_says_what_to_do() {
    let report = HealthReport::new(provider(), HealthStatus::Degraded, SystemTime::UNIX_EPOCH)
        .with_latency(Duration::from_millis(5))
        .with_message("Add credit.")
        .with_detail("limit_remaining", 0);
    assert_eq!(
        (report.latency, report.message.as_deref()),
        (Some(Duration::from_millis(5)), Some("Add credit."))
    );
    assert_eq!(report.details["limit_remaining"], 0);
}

#[test]
fn recorded_data_is_found_or_the_test_is_named_as_skipped() {
    // Whoever demands the recorded data wants the panic that would follow here.
    #[expect(
        clippy::disallowed_methods,
        reason = "the function under test reads the environment"
    )]
    if std::env::var("WAYPOST_REQUIRE_SHARED").is_ok() || std::env::var("WAYPOST_SKIPPED").is_ok() {
        return;
    }
    assert_eq!(shared_data("a test of the skip itself", "no/such/file"), None);
}

//! What a decision over the shipped catalogue costs, and what the executor adds to a call. Run with
//! `cargo bench -p routing`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use costing::{PriceBook, UtcTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use integration_core::{Capability, CapabilitySet};
use model_catalogue::Catalogue;
use routing::{RouteRequest, Scratch, Snapshot, Task};

fn snapshot() -> Snapshot {
    let catalogue = Catalogue::bundled().unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    Snapshot::new(&catalogue, &prices)
}

fn requests() -> [(&'static str, RouteRequest); 2] {
    let at = UtcTime::from_unix(1_787_400_000);
    let any = RouteRequest::new(Task::Reasoning, at);
    let mut narrow = any.clone();
    narrow.min_quality = Some(50.0);
    narrow.needs = CapabilitySet::of(Capability::Tools).with(Capability::Vision);
    [("any quality", any), ("quality 50, tools, vision", narrow)]
}

fn decide(c: &mut Criterion) {
    let snapshot = snapshot();
    let mut group = c.benchmark_group("decide");
    group.throughput(Throughput::Elements(snapshot.deployments().len() as u64));
    for (name, request) in requests() {
        let mut scratch = Scratch::new();
        let plan = snapshot.plan(&request);
        let chosen = plan.chosen().map(|candidate| &candidate.target);
        assert!(chosen.is_some() && snapshot.decide(&request, &mut scratch).chosen() == chosen);
        group.bench_function(format!("decide, {name}"), |b| {
            b.iter(|| {
                black_box(&snapshot)
                    .decide(black_box(&request), &mut scratch)
                    .chosen()
                    .is_some()
            });
        });
        group.bench_function(format!("plan with reasons, {name}"), |b| {
            b.iter(|| black_box(&snapshot).plan(black_box(&request)));
        });
    }
    group.bench_function("plan as JSON", |b| {
        let plan = snapshot.plan(&requests()[0].1);
        b.iter(|| serde_json::to_string(black_box(&plan)).unwrap());
    });
    group.finish();
    let catalogue = Catalogue::bundled().unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    c.bench_function("snapshot of the shipped catalogue", |b| {
        b.iter(|| Snapshot::new(black_box(&catalogue), black_box(&prices)));
    });
}

#[cfg(not(feature = "executor"))]
fn attempt(_: &mut Criterion) {}

/// What one attempt costs around a client that answers at once: the same call without and with the executor.
#[cfg(feature = "executor")]
fn attempt(c: &mut Criterion) {
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures_util::StreamExt;
    use integration_core::chat::{Choice, FinishReason, Message};
    use integration_core::{
        CallContext, ChatClient, ChatRequest, ChatResponse, ChatStream, HealthReport, IntegrationClient,
        ManualClock, ModelId, ProviderId, RequestId, Result, StreamEvent,
    };
    use routing::{Call, Executor, ExecutorConfig, Target};

    #[derive(Debug)]
    struct Instant(ProviderId, Vec<StreamEvent>);

    #[async_trait]
    impl IntegrationClient for Instant {
        fn id(&self) -> &ProviderId {
            &self.0
        }
        fn capabilities(&self) -> CapabilitySet {
            CapabilitySet::of(Capability::Chat)
        }
        async fn health(&self) -> HealthReport {
            unreachable!("not asked for")
        }
    }

    #[async_trait]
    impl ChatClient for Instant {
        async fn chat_stream(&self, _: &CallContext, _: &ChatRequest) -> Result<ChatStream> {
            Ok(Box::pin(futures_util::stream::iter(
                self.1.clone().into_iter().map(Ok),
            )))
        }
    }

    let mut choice = Choice::new(0, Message::assistant("hello"));
    choice.finish_reason = Some(FinishReason::Stop);
    let events = ChatResponse::new(vec![choice]).into_events();
    let client: Arc<dyn ChatClient> = Arc::new(Instant(ProviderId::new("p").unwrap(), events));
    let model = ModelId::new("a/b").unwrap();
    let request = ChatRequest::new(model.clone(), vec![Message::user("hello")]);
    let targets = [Target::new(client.id().clone(), model)];
    let id = RequestId::new("r").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // One clock for each call: a manual clock remembers every sleep it was asked for.
    let executor = || {
        Executor::new(
            [Arc::clone(&client)],
            Arc::new(ManualClock::new()),
            ExecutorConfig::default(),
        )
    };
    let mut group = c.benchmark_group("one attempt");
    group.bench_function("the client alone", |b| {
        let cx = CallContext::new(id.clone());
        b.iter(|| runtime.block_on(async { client.chat(&cx, &request).await.unwrap() }));
    });
    group.bench_function("executor, in one piece", |b| {
        b.iter_batched(
            executor,
            |executor| {
                runtime.block_on(async {
                    executor
                        .chat(Call::new(id.clone(), &targets, &request))
                        .await
                        .unwrap()
                })
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.bench_function("executor, streamed", |b| {
        b.iter_batched(
            executor,
            |executor| {
                runtime.block_on(async {
                    let streamed = executor
                        .stream(Call::new(id.clone(), &targets, &request))
                        .await
                        .unwrap();
                    streamed.stream.count().await
                })
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, decide, attempt);
criterion_main!(benches);

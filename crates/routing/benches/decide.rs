//! What a decision over the shipped catalogue costs, and what the executor adds to a call. Run with
//! `cargo bench -p routing`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::time::Duration;

mod support;

use costing::{PriceBook, UtcTime};
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use integration_core::{Capability, CapabilitySet};
use model_catalogue::Catalogue;
use model_catalogue::ModelRecord;
use routing::{RouteRequest, STRATEGIES, Scratch, Snapshot, Task, strategy};
use rust_decimal::Decimal;

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

/// Decides again and again in a scratch that has grown.
fn decisions(b: &mut Bencher<'_>, snapshot: &Snapshot, request: &RouteRequest) {
    let mut scratch = Scratch::new();
    assert!(snapshot.decide(request, &mut scratch).chosen().is_some());
    b.iter(|| {
        black_box(snapshot)
            .decide(black_box(request), &mut scratch)
            .chosen()
            .is_some()
    });
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
            decisions(b, &snapshot, &request);
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

/// Every strategy on the shipped catalogue, about a hundred deployments that qualify.
fn strategies(c: &mut Criterion) {
    let snapshot = snapshot();
    let mut group = c.benchmark_group("strategies");
    for name in STRATEGIES {
        let mut request = RouteRequest::new(Task::Reasoning, support::AT);
        request.strategy = strategy(name).unwrap();
        group.bench_function(name, |b| {
            decisions(b, &snapshot, &request);
        });
    }
    group.finish();
}

/// What decisions cost as catalogues grow: 20 deployments qualify whatever the size.
fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("20 qualify");
    for models in [10, 100, 1_000, 10_000, 100_000] {
        let qualify = models.min(20);
        let snapshot = support::snapshot(models, qualify);
        let request = support::request();
        assert_eq!(snapshot.plan(&request).candidates.len(), qualify);
        group.bench_function(format!("of {models}"), |b| {
            decisions(b, &snapshot, &request);
        });
    }
    group.finish();
}

/// The plain way beside ours: the records that pass are cloned and sorted by expected cost.
fn plain_way(c: &mut Criterion) {
    let (catalogue, prices) = support::catalogue(10_000, 3_000);
    let snapshot = Snapshot::new(&catalogue, &prices);
    let request = support::request();
    let plain = || {
        let passes = |record: &&ModelRecord| {
            record
                .benchmarks
                .intelligence_index
                .is_some_and(|has| has >= 50.0)
        };
        let mut passing: Vec<ModelRecord> = catalogue.records().iter().filter(passes).cloned().collect();
        let cost = |record: &ModelRecord| -> Option<Decimal> {
            costing::expected_cost(
                prices.sheet(&record.id)?,
                request.prompt_tokens,
                request.completion_tokens,
                request.at,
            )
        };
        passing.sort_by_cached_key(|record| (cost(record), record.id.clone()));
        passing
    };
    let mut scratch = Scratch::new();
    let (ours, theirs) = (snapshot.decide(&request, &mut scratch), plain());
    assert_eq!(theirs.len(), 3_000);
    assert_eq!(ours.chosen().unwrap().model, theirs[0].id);
    let mut group = c.benchmark_group("3,000 of 10,000 qualify");
    group.bench_function("clone those that pass and sort by expected cost", |b| {
        b.iter(plain)
    });
    group.bench_function("decide", |b| {
        decisions(b, &snapshot, &request);
    });
    group.finish();
}

/// Many threads on one snapshot: the time of a decision in each of them.
fn threads(c: &mut Criterion) {
    let snapshot = support::snapshot(1_000, 20);
    let request = support::request();
    let mut group = c.benchmark_group("threads");
    for threads in [1_usize, 2, 8] {
        group.bench_function(format!("{threads}"), |b| {
            b.iter_custom(|iterations| {
                let start = std::sync::Barrier::new(threads);
                let times: Vec<_> = std::thread::scope(|scope| {
                    let run = || {
                        let mut scratch = Scratch::new();
                        start.wait();
                        #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
                        let begin = std::time::Instant::now();
                        for _ in 0..iterations {
                            black_box(
                                black_box(&snapshot)
                                    .decide(black_box(&request), &mut scratch)
                                    .chosen(),
                            );
                        }
                        begin.elapsed()
                    };
                    let runs: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
                    runs.into_iter().map(|run| run.join().unwrap()).collect()
                });
                times.into_iter().max().unwrap_or_default()
            });
        });
    }
    group.finish();
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

/// Shorter than criterion's own times: there are many of these, they are steady, and all benches of the workspace are to end within minutes.
fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
}

criterion_group!(name = benches; config = brief(); targets = decide, strategies, sizes, plain_way, threads, attempt);
criterion_main!(benches);

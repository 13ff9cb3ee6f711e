//! What it costs to fold a stream of 1,000 pieces into an answer.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use integration_core::chat::{ChatFold, FinishReason, StreamStart};
use integration_core::{StreamEvent, Usage};

const CHUNKS: usize = 1_000;

/// Mostly text, some reasoning before it and some arguments of a tool call after it, as answers are.
fn events() -> Vec<StreamEvent> {
    let mut events = vec![StreamEvent::Start(StreamStart::default())];
    events.extend((0..CHUNKS).map(|n| match n {
        0..200 => StreamEvent::Reasoning {
            choice: 0,
            text: " thinking".to_owned(),
        },
        200..800 => StreamEvent::Content {
            choice: 0,
            text: " word".to_owned(),
        },
        _ => StreamEvent::ToolCall {
            choice: 0,
            slot: (n as u32 - 800) / 50,
            id: (n % 50 == 0).then(|| format!("call-{n}")),
            name: (n % 50 == 0).then(|| "lookup".to_owned()),
            arguments: "{\"a\":1".to_owned(),
        },
    }));
    events.push(StreamEvent::Finish {
        choice: 0,
        reason: FinishReason::ToolCalls,
        native: None,
    });
    events.push(StreamEvent::Usage(Box::new(Usage::of_tokens(10, 1_000))));
    events.push(StreamEvent::End);
    events
}

fn fold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(CHUNKS as u64));
    let events = events();
    group.bench_function("1000 chunks", |bencher| {
        bencher.iter_batched(
            || events.clone(),
            |events| {
                let mut fold = ChatFold::new();
                for event in events {
                    fold.push(black_box(event)).unwrap();
                }
                fold.finish()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, fold);
criterion_main!(benches);

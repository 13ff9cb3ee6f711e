//! Reading answers, without I/O: what the client adds to the bytes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use acme_client::wire::{ChatAssembler, ErrorReader, read_chat};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn whole(criterion: &mut Criterion) {
    let text = "Ownership lets the compiler free memory at the right time. ".repeat(16);
    let body = format!(
        r#"{{"id":"a-1","object":"chat.completion","created":1760000000,"model":"acme-small","choices":[{{"index":0,
        "message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],
        "usage":{{"prompt_tokens":60,"completion_tokens":120,"total_tokens":180}}}}"#
    );
    let errors = ErrorReader::default();
    let mut group = criterion.benchmark_group("whole");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| read_chat(body.as_bytes(), &errors).unwrap());
    });
    group.finish();
}

fn streamed(criterion: &mut Criterion) {
    const PIECES: usize = 1000;
    let piece = r#"{"id":"a-1","object":"chat.completion.chunk","created":1760000000,"model":"acme-small","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}"#;
    let last = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":1000}}"#;
    let mut group = criterion.benchmark_group("streamed");
    group.throughput(Throughput::Elements(PIECES as u64));
    group.bench_function("1000 pieces", |bencher| {
        bencher.iter(|| {
            let mut assembler = ChatAssembler::new(ErrorReader::default());
            let mut events = 0;
            for data in std::iter::repeat_n(piece, PIECES).chain([last, "[DONE]"]) {
                assembler.push(data.as_bytes());
                events += std::iter::from_fn(|| assembler.pop()).count();
            }
            events
        });
    });
    group.finish();
}

criterion_group!(benches, whole, streamed);
criterion_main!(benches);

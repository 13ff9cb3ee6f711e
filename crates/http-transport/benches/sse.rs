//! The decoder on a chat stream, and on one line of 8 MB in one piece and in 8,192.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http_transport::sse::{SseDecoder, SseLimits};

/// The data of the line, so that the whole stream is cut into exactly [`PIECES`] pieces.
const LINE: usize = (8 << 20) - "data: \n\n".len();
const PIECES: usize = 8192;

/// About what a model sends: a comment now and then, one short JSON object an event.
fn chat_stream(bytes: usize) -> Bytes {
    let mut text = String::new();
    let mut n = 0;
    while text.len() < bytes {
        if n % 50 == 0 {
            text.push_str(": OPENROUTER PROCESSING\n\n");
        }
        text.push_str(&format!(
            "data: {{\"id\":\"gen-1760000000-abcdefghij\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\
             \"model\":\"example/model\",\"provider\":\"Example\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\
             \"assistant\",\"content\":\" word{n} gr\u{fc}n\"}},\"finish_reason\":null,\"native_finish_reason\":null,\
             \"logprobs\":null}}]}}\n\n"
        ));
        n += 1;
    }
    Bytes::from(text)
}

fn drain(decoder: &mut SseDecoder) -> usize {
    let mut bytes = 0;
    while let Some(event) = decoder.next_event().unwrap() {
        bytes += black_box(event).data().len();
    }
    bytes
}

fn decode(limits: SseLimits, pieces: &[Bytes]) -> usize {
    let mut decoder = SseDecoder::new(limits);
    pieces
        .iter()
        .map(|piece| {
            decoder.feed(piece.clone());
            drain(&mut decoder)
        })
        .sum()
}

fn cut(whole: &Bytes, size: usize) -> Vec<Bytes> {
    (0..whole.len())
        .step_by(size)
        .map(|at| whole.slice(at..(at + size).min(whole.len())))
        .collect()
}

fn stream(c: &mut Criterion) {
    let whole = chat_stream(4 << 20);
    let limits = SseLimits::default();
    let mut group = c.benchmark_group("sse/chat_stream");
    group.throughput(Throughput::Bytes(whole.len() as u64));
    for size in [1460, 16 << 10, whole.len()] {
        let pieces = cut(&whole, size);
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| decode(limits, &pieces))
        });
    }
    group.finish();
}

fn long_line(c: &mut Criterion) {
    let whole = Bytes::from(format!("data: {}\n\n", "x".repeat(LINE)));
    let limits = SseLimits::default().with_line(LINE * 2).with_event(LINE * 2);
    let (one, many) = (vec![whole.clone()], cut(&whole, whole.len().div_ceil(PIECES)));
    let mut group = c.benchmark_group("sse/line_of_8_mb");
    group.throughput(Throughput::Bytes(whole.len() as u64));
    group.bench_function("1 piece", |b| b.iter(|| decode(limits, &one)));
    group.bench_function("8192 pieces", |b| b.iter(|| decode(limits, &many)));
    group.finish();

    // The comparison by itself: turn about, so that both see the same machine; the median of each.
    let time = |pieces: &[Bytes]| {
        let start = Instant::now();
        assert_eq!(decode(limits, pieces), LINE);
        start.elapsed()
    };
    let (mut once, mut often): (Vec<Duration>, Vec<Duration>) =
        (0..101).map(|_| (time(&one), time(&many))).unzip();
    once.sort_unstable();
    often.sort_unstable();
    let (once, often) = (once[50], often[50]);
    let ratio = often.as_secs_f64() / once.as_secs_f64();
    println!(
        "line of 8 MB: 1 piece {once:?}, {} pieces {often:?}, ratio {ratio:.2} (limit 2)",
        many.len()
    );
    println!("ratio: sse 8 MB line, many pieces over one {ratio:.2}");
}

criterion_group!(benches, stream, long_line);
criterion_main!(benches);

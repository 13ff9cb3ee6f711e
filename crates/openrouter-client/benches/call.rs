//! One call of the client against one bare call of the HTTP library with the same bytes, to the same server on this machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

mod against_reqwest;

use std::time::{Duration, Instant};

use against_reqwest::{Pair, compare, in_a_task, serve, serve_here};
use criterion::{Criterion, criterion_group, criterion_main};
use integration_core::ChatClient;
use openrouter_client::wire;
use tokio::runtime::Runtime;

/// About what a short answer looks like, keep-alive white space included.
fn answer() -> String {
    let text = "Ownership lets the compiler free memory at the right time without a collector. ".repeat(8);
    let body = format!(
        "\n         \n{{\"id\":\"gen-1760000000-abcdefghij\",\"object\":\"chat.completion\",\"created\":1760000000,\
         \"model\":\"example/model-2026\",\"provider\":\"Example\",\"system_fingerprint\":null,\"choices\":[{{\"index\":0,\
         \"logprobs\":null,\"finish_reason\":\"stop\",\"native_finish_reason\":\"stop\",\"message\":{{\"role\":\"assistant\",\
         \"content\":\"{text}\",\"refusal\":null,\"reasoning\":null}}}}],\"usage\":{{\"prompt_tokens\":60,\
         \"completion_tokens\":120,\"total_tokens\":180,\"cost\":0.00012345,\"is_byok\":false,\"prompt_tokens_details\":\
         {{\"cached_tokens\":0}},\"cost_details\":{{\"upstream_inference_cost\":0.00012345}}}}}}"
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-generation-id: gen-1760000000-abcdefghij\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn pair() -> Pair {
    let address = serve(|_| vec![answer()]);
    Pair::new(&format!("http://{address}/api/v1"), false)
}

async fn client_call(pair: &Pair) -> usize {
    let answer = pair.client.chat(&pair.cx, &pair.request).await.unwrap();
    answer.text().len()
}

async fn bare_call(pair: &Pair) -> usize {
    pair.bare_answer().await.bytes().await.unwrap().len()
}

/// Runs one call and waits for it, as a program does that makes a call now and then.
fn one<F: Future<Output = usize>>(runtime: &Runtime, call: impl Fn() -> F) -> Duration {
    let start = Instant::now();
    assert!(runtime.block_on(call()) > 100);
    start.elapsed()
}

fn call(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let pair: &'static Pair = Box::leak(Box::new(pair()));
    let bare = |count| in_a_task(&runtime, count, || bare_call(pair));
    let client = |count| in_a_task(&runtime, count, || client_call(pair));
    let mut group = c.benchmark_group("call");
    group.bench_function("bare", |b| b.iter_custom(bare));
    group.bench_function("client", |b| b.iter_custom(client));
    group.finish();

    let one_bare = || one(&runtime, || bare_call(pair));
    let one_client = || one(&runtime, || client_call(pair));
    compare("one call at a time", Some(1.2), 4001, one_bare, one_client);
    // What this says depends on how fast an idle core wakes: reqwest's second task keeps a second thread looking for work, so
    // that none falls asleep in the 10 µs until the answer.
    compare(
        "calls back to back over several threads",
        None,
        101,
        || bare(100) / 100,
        || client(100) / 100,
    );

    // Client and server on one thread: nothing sleeps and nothing is woken, and what is left is the work alone.
    let alone = against_reqwest::one_thread();
    let address = alone.block_on(serve_here(|_| vec![answer()]));
    let pair = Pair::new(&format!("http://{address}/api/v1"), false);
    let hundred_bare = || {
        let start = Instant::now();
        alone.block_on(async {
            for _ in 0..100 {
                assert!(bare_call(&pair).await > 100);
            }
        });
        start.elapsed() / 100
    };
    let hundred_client = || {
        let start = Instant::now();
        alone.block_on(async {
            for _ in 0..100 {
                assert!(client_call(&pair).await > 100);
            }
        });
        start.elapsed() / 100
    };
    compare(
        "calls back to back on one thread",
        Some(1.2),
        101,
        hundred_bare,
        hundred_client,
    );
}

/// The parts of a call that are the client's own.
fn parts(c: &mut Criterion) {
    let text = answer();
    let body = &text.as_bytes()[text.find("\r\n\r\n").unwrap() + 4..];
    let usage = &text[text.find("\"usage\":").unwrap() + 8..text.len() - 1];
    let errors = wire::ErrorReader::new(std::time::SystemTime::UNIX_EPOCH);
    let request = pair().request;
    let mut group = c.benchmark_group("parts");
    group.bench_function("chat_body", |b| {
        b.iter(|| wire::chat_body(&request, false).unwrap())
    });
    group.bench_function("read_chat", |b| {
        b.iter(|| wire::read_chat(body, None, &errors).unwrap())
    });
    group.bench_function("usage", |b| {
        b.iter(|| integration_core::Usage::from_json(usage).unwrap())
    });
    group.finish();
}

criterion_group!(benches, parts, call);
criterion_main!(benches);

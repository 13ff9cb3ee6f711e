//! A call and a stream through the transport against the same by bare reqwest: same bytes, same server on this
//! machine, turn about. Also what a retry decision costs.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::StreamExt;
use http_transport::retry::{Retrier, RetryBudget, RetryPolicy};
use http_transport::{
    Endpoint, HeaderMap, HeaderName, HeaderValue, Request, SystemClock, Transport, TransportConfig,
};
use integration_core::{Delivery, Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const CHUNKS: usize = 1000;

fn whole_answer() -> Vec<u8> {
    let body = "x".repeat(900);
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A thousand chunks of the size a chat stream has, each an event.
fn stream_answer() -> Vec<u8> {
    let mut out =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let event = format!("data: {{\"id\":\"gen-1\",\"choices\":[{}]}}\n\n", "x".repeat(200));
    for _ in 0..CHUNKS {
        out.extend(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes());
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Answers every request on every connection alike, on the runtime of whoever asks: then nothing sleeps and nothing is woken,
/// and what is measured is the work. Requests have no body.
async fn serve(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            socket.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut request = Vec::with_capacity(4096);
                while socket.read_buf(&mut request).await.is_ok_and(|n| n > 0) {
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        if socket.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

struct Pair {
    transport: Transport,
    endpoint: Endpoint,
    headers: HeaderMap,
    bare: reqwest::Client,
    url: String,
}

impl Pair {
    async fn new(answer: Vec<u8>) -> Self {
        let url = format!("http://{}/api/v1/models", serve(answer).await);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer sk-or-v1-bench"),
            ("accept", "application/json"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Self {
            transport: Transport::new(TransportConfig::default(), Arc::new(SystemClock)).unwrap(),
            endpoint: Endpoint::new(&url).unwrap(),
            headers,
            bare: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            url,
        }
    }

    async fn open(&self) -> http_transport::Response {
        let request = Request::get(self.endpoint.clone()).with_headers(self.headers.clone());
        self.transport.send(request, None).await.unwrap()
    }

    async fn open_bare(&self) -> reqwest::Response {
        let request = self.bare.get(&self.url);
        let request = request
            .header("authorization", "Bearer sk-or-v1-bench")
            .header("accept", "application/json");
        request.send().await.unwrap()
    }

    async fn call(&self) -> usize {
        self.open().await.bytes().await.unwrap().len()
    }

    async fn call_bare(&self) -> usize {
        self.open_bare().await.bytes().await.unwrap().len()
    }

    async fn stream(&self) -> usize {
        let mut events = self.open().await.events();
        let mut bytes = 0;
        while let Some(event) = events.next().await {
            bytes += event.unwrap().data().len();
        }
        bytes
    }

    async fn stream_bare(&self) -> usize {
        let mut pieces = self.open_bare().await.bytes_stream();
        let mut bytes = 0;
        while let Some(piece) = pieces.next().await {
            bytes += piece.unwrap().len();
        }
        bytes
    }
}

fn in_a_task<F>(runtime: &Runtime, count: u32, call: impl Fn() -> F + Send + 'static) -> Duration
where
    F: Future<Output = usize> + Send,
{
    let task = runtime.spawn(async move {
        let start = Instant::now();
        for _ in 0..count {
            assert!(call().await > 100);
        }
        start.elapsed()
    });
    runtime.block_on(task).unwrap()
}

/// Measures both turn about, so that both see the same machine, and compares the medians.
fn compare(what: &str, rounds: usize, bare: impl Fn() -> Duration, ours: impl Fn() -> Duration) {
    let (mut bare, mut ours): (Vec<Duration>, Vec<Duration>) = (0..rounds).map(|_| (bare(), ours())).unzip();
    bare.sort_unstable();
    ours.sort_unstable();
    let (bare, ours) = (bare[rounds / 2], ours[rounds / 2]);
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!("{what}: bare {bare:?}, transport {ours:?}");
    println!("ratio: {what} through the transport over bare reqwest (limit 1.30) {ratio:.2}");
}

fn call(_: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let calls: &'static Pair = Box::leak(Box::new(runtime.block_on(Pair::new(whole_answer()))));
    let streams: &'static Pair = Box::leak(Box::new(runtime.block_on(Pair::new(stream_answer()))));
    compare(
        "one call",
        101,
        || in_a_task(&runtime, 100, || calls.call_bare()) / 100,
        || in_a_task(&runtime, 100, || calls.call()) / 100,
    );
    compare(
        "a stream of 1,000 chunks",
        101,
        || in_a_task(&runtime, 5, || streams.stream_bare()) / 5,
        || in_a_task(&runtime, 5, || streams.stream()) / 5,
    );
}

fn retry(c: &mut Criterion) {
    let retrier = Retrier::new(RetryPolicy::standard()).with_seed(1);
    let refused = Error::new(ErrorKind::RateLimited, "slow down").with_delivery(Delivery::Answered);
    let budget = RetryBudget::default();
    let mut group = c.benchmark_group("retry");
    group.bench_function("a call that succeeds", |b| {
        b.iter(|| retrier.retries().success(&budget));
    });
    group.bench_function("a refusal, then success", |b| {
        b.iter(|| {
            let mut retries = retrier.retries();
            let wait = retries.after_failure(&refused, &budget);
            retries.success(&budget);
            wait
        });
    });
    group.finish();
}

criterion_group!(benches, retry, call);
criterion_main!(benches);

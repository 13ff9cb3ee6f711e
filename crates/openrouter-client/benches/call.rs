//! One call of the client against one bare call of the HTTP library with the same bytes, to the same server on this machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use integration_core::chat::Message;
use integration_core::{CallContext, ChatClient, ChatRequest, ModelId, RequestId, Secret};
use openrouter_client::{Config, OpenRouterClient, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
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

/// Answers every request on every connection, on a thread of its own.
fn serve() -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let answer = answer();
            while let Ok((mut socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    let (mut bytes, mut needed) = (Vec::with_capacity(8192), None);
                    while socket.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
                        if needed.is_none() {
                            needed = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|end| {
                                let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                                let length = head
                                    .split("content-length: ")
                                    .nth(1)
                                    .unwrap()
                                    .lines()
                                    .next()
                                    .unwrap();
                                end + 4 + length.trim().parse::<usize>().unwrap()
                            });
                        }
                        if needed == Some(bytes.len()) {
                            bytes.clear();
                            needed = None;
                            if socket.write_all(answer.as_bytes()).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
    });
    told.recv().unwrap()
}

struct Pair {
    client: OpenRouterClient,
    cx: CallContext,
    request: ChatRequest,
    bare: reqwest::Client,
    url: String,
    body: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let base = format!("http://{}/api/v1", serve());
        let conversation = vec![
            Message::system("You are a helpful assistant. Answer in one paragraph."),
            Message::user(
                "Why does Rust have ownership, and what does it do for people who write servers? ".repeat(4),
            ),
        ];
        let mut request = ChatRequest::new(ModelId::new("example/model").unwrap(), conversation);
        request.max_tokens = Some(256);
        let body = wire::chat_body(&request, false).unwrap();
        let config = Config::new(Secret::new("sk-or-v1-bench").unwrap()).with_base_url(&base);
        Self {
            client: OpenRouterClient::new(config).unwrap(),
            cx: CallContext::new(RequestId::new("r").unwrap()),
            request,
            bare: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            url: format!("{base}/chat/completions"),
            body,
        }
    }

    async fn client_call(&self) -> usize {
        let answer = self.client.chat(&self.cx, &self.request).await.unwrap();
        answer.text().len()
    }

    async fn bare_call(&self) -> usize {
        let request = self
            .bare
            .post(&self.url)
            .header("authorization", "Bearer sk-or-v1-bench")
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(self.body.clone());
        request.send().await.unwrap().bytes().await.unwrap().len()
    }
}

/// Runs calls in a task, as a server does.
fn in_a_task<F>(runtime: &Runtime, count: u64, call: impl Fn() -> F + Send + 'static) -> Duration
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

/// Runs one call and waits for it, as a program does that makes a call now and then.
fn one<F: Future<Output = usize>>(runtime: &Runtime, call: impl Fn() -> F) -> Duration {
    let start = Instant::now();
    assert!(runtime.block_on(call()) > 100);
    start.elapsed()
}

/// Measures both turn about, so that both see the same machine, and compares the medians.
fn compare(how: &str, rounds: usize, bare: impl Fn() -> Duration, client: impl Fn() -> Duration) {
    let (mut bare, mut client): (Vec<Duration>, Vec<Duration>) =
        (0..rounds).map(|_| (bare(), client())).unzip();
    bare.sort_unstable();
    client.sort_unstable();
    let (bare, client) = (bare[rounds / 2], client[rounds / 2]);
    let ratio = client.as_secs_f64() / bare.as_secs_f64();
    println!("{how}: bare {bare:?}, client {client:?}");
    println!("ratio: client call over bare call, {how} {ratio:.2}");
}

fn call(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let pair: &'static Pair = Box::leak(Box::new(Pair::new()));
    let bare = |count| in_a_task(&runtime, count, || pair.bare_call());
    let client = |count| in_a_task(&runtime, count, || pair.client_call());
    let mut group = c.benchmark_group("call");
    group.bench_function("bare", |b| b.iter_custom(bare));
    group.bench_function("client", |b| b.iter_custom(client));
    group.finish();

    let one_bare = || one(&runtime, || pair.bare_call());
    let one_client = || one(&runtime, || pair.client_call());
    compare("one at a time", 4001, one_bare, one_client);
    // Without a pause between calls nothing sleeps and nothing is woken: what is left is the work alone, against a server
    // that does none.
    compare("back to back", 101, || bare(100) / 100, || client(100) / 100);
}

/// The parts of a call that are the client's own.
fn parts(c: &mut Criterion) {
    let text = answer();
    let body = &text.as_bytes()[text.find("\r\n\r\n").unwrap() + 4..];
    let usage = &text[text.find("\"usage\":").unwrap() + 8..text.len() - 1];
    let errors = wire::ErrorReader::new(std::time::SystemTime::UNIX_EPOCH);
    let request = Pair::new().request;
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

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
    runtime: Runtime,
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
            // The runtime that servers use, with a thread for each processor.
            runtime: Runtime::new().unwrap(),
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

    fn client_call(&self) -> usize {
        self.runtime.block_on(async {
            self.client
                .chat(&self.cx, &self.request)
                .await
                .unwrap()
                .text()
                .len()
        })
    }

    fn bare_call(&self) -> usize {
        self.runtime.block_on(async {
            let request = self
                .bare
                .post(&self.url)
                .header("authorization", "Bearer sk-or-v1-bench")
                .header("content-type", "application/json")
                .header("accept", "application/json")
                .body(self.body.clone());
            request.send().await.unwrap().bytes().await.unwrap().len()
        })
    }
}

fn call(c: &mut Criterion) {
    let pair = Pair::new();
    let mut group = c.benchmark_group("call");
    group.bench_function("bare", |b| b.iter(|| pair.bare_call()));
    group.bench_function("client", |b| b.iter(|| pair.client_call()));
    group.finish();

    // The comparison by itself: turn about, so that both see the same machine; the median of each.
    let time = |call: &dyn Fn() -> usize| {
        let start = Instant::now();
        assert!(call() > 100);
        start.elapsed()
    };
    let (mut bare, mut client): (Vec<Duration>, Vec<Duration>) = (0..4001)
        .map(|_| (time(&|| pair.bare_call()), time(&|| pair.client_call())))
        .unzip();
    bare.sort_unstable();
    client.sort_unstable();
    let (bare, client) = (bare[2000], client[2000]);
    let ratio = client.as_secs_f64() / bare.as_secs_f64();
    println!("one call: bare {bare:?}, client {client:?}, ratio {ratio:.2} (limit 1.2)");
    println!("ratio: client call over bare call {ratio:.2}");
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

#![allow(dead_code)]
//! The client and bare reqwest, side by side: same bytes, same server on this machine, turn about.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use integration_core::chat::Message;
use integration_core::{CallContext, ChatRequest, ModelId, RequestId, Secret};
use openrouter_client::{Config, OpenRouterClient, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Answers every request on every connection by its path, on a thread of its own. The pieces of an answer are sent one by
/// one.
pub(crate) fn serve(answer: fn(path: &str) -> Vec<String>) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        one_thread().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            answer_all(listener, answer).await;
        });
    });
    told.recv().unwrap()
}

pub(crate) fn one_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// What [`serve`] does, on the runtime of whoever asks: a call then never waits for another thread.
pub(crate) async fn serve_here(answer: fn(path: &str) -> Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(answer_all(listener, answer));
    address
}

async fn answer_all(listener: TcpListener, answer: fn(path: &str) -> Vec<String>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        socket.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut bytes = Vec::with_capacity(8192);
            let mut known: Option<(String, Vec<String>)> = None;
            while socket.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
                // Every request here is a JSON object in a packet or two, and nothing else ends with that byte.
                if !bytes.ends_with(b"}") {
                    continue;
                }
                let path = String::from_utf8_lossy(&bytes);
                let path = path.split(' ').nth(1).unwrap();
                if known.as_ref().is_none_or(|(of, _)| of != path) {
                    known = Some((path.to_owned(), answer(path)));
                }
                bytes.clear();
                for piece in known.iter().flat_map(|(_, pieces)| pieces) {
                    if socket.write_all(piece.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

pub(crate) struct Pair {
    pub(crate) client: OpenRouterClient,
    pub(crate) cx: CallContext,
    pub(crate) request: ChatRequest,
    bare: reqwest::Client,
    url: String,
    body: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(base: &str, stream: bool) -> Self {
        let conversation = vec![
            Message::system("You are a helpful assistant. Answer in one paragraph."),
            Message::user(
                "Why does Rust have ownership, and what does it do for people who write servers? ".repeat(4),
            ),
        ];
        let mut request = ChatRequest::new(ModelId::new("example/model").unwrap(), conversation);
        request.max_tokens = Some(256);
        let body = wire::chat_body(&request, stream).unwrap();
        let config = Config::new(Secret::new("sk-or-v1-bench").unwrap()).with_base_url(base);
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

    pub(crate) async fn bare_answer(&self) -> reqwest::Response {
        let request = self
            .bare
            .post(&self.url)
            .header("authorization", "Bearer sk-or-v1-bench")
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(self.body.clone());
        request.send().await.unwrap()
    }
}

/// Runs calls in a task, as a server does.
pub(crate) fn in_a_task<F>(runtime: &Runtime, count: u64, call: impl Fn() -> F + Send + 'static) -> Duration
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

/// Measures both turn about, so that both see the same machine, and compares the medians. `limit`: what the ratio may be, if
/// it is to be held to one.
pub(crate) fn compare(
    what: &str,
    limit: Option<f64>,
    rounds: usize,
    bare: impl Fn() -> Duration,
    client: impl Fn() -> Duration,
) {
    let (mut bare, mut client): (Vec<Duration>, Vec<Duration>) =
        (0..rounds).map(|_| (bare(), client())).unzip();
    bare.sort_unstable();
    client.sort_unstable();
    let (bare, client) = (bare[rounds / 2], client[rounds / 2]);
    let ratio = client.as_secs_f64() / bare.as_secs_f64();
    println!("{what}: bare {bare:?}, client {client:?}");
    let limit = limit
        .map(|limit| format!(" (limit {limit:.2})"))
        .unwrap_or_default();
    println!("ratio: client over bare reqwest, {what}{limit} {ratio:.2}");
}

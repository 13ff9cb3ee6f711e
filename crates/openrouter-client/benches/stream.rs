//! A streamed answer of 1,000 pieces through the client, against the HTTP library alone reading the same bytes from the same
//! server on this machine.
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
use futures_util::StreamExt;
use integration_core::chat::Message;
use integration_core::{CallContext, ChatClient, ChatRequest, ModelId, RequestId, Secret, StreamEvent};
use openrouter_client::{Config, OpenRouterClient, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const PIECES: usize = 1000;

/// The events as OpenRouter sends them: the whole envelope with every word or two.
fn events() -> Vec<String> {
    let head = "\"id\":\"gen-1760000000-abcdefghij\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\
                \"model\":\"example/model-2026\",\"provider\":\"Example\"";
    let piece = |text: &str, rest: &str| {
        format!(
            "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},{rest}\
             ,\"logprobs\":null}}]"
        )
    };
    let mut events: Vec<String> = (0..PIECES)
        .map(|n| {
            let text = format!(" word{n}");
            piece(&text, "\"finish_reason\":null,\"native_finish_reason\":null") + "}\n\n"
        })
        .collect();
    let end = piece("", "\"finish_reason\":\"stop\",\"native_finish_reason\":\"stop\"");
    events.push(format!("{end}}}\n\n"));
    events.push(format!(
        "{end},\"usage\":{{\"prompt_tokens\":60,\"completion_tokens\":1000,\"total_tokens\":1060,\"cost\":0.00012345}}}}\n\n"
    ));
    events.push("data: [DONE]\n\n".to_owned());
    events.insert(0, ": OPENROUTER PROCESSING\n\n".to_owned());
    events
}

fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-generation-id: gen-1760000000-abcdefghij\r\n\
                    transfer-encoding: chunked\r\n\r\n";

/// Answers every request on every connection, on a thread of its own. Under `/each` every event is sent by itself, as it
/// would be made; under any other path all of them at once.
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
            let mut pieces: Vec<String> = events().iter().map(|event| chunk(event)).collect();
            pieces.push("0\r\n\r\n".to_owned());
            let pieces: &'static [String] = pieces.leak();
            let at_once: &'static str = pieces.concat().leak();
            while let Ok((mut socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    let mut bytes = Vec::with_capacity(8192);
                    while socket.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
                        // Every request here ends with the same byte.
                        if !bytes.ends_with(b"}") {
                            continue;
                        }
                        let each = bytes.starts_with(b"POST /each");
                        bytes.clear();
                        socket.write_all(HEAD.as_bytes()).await.unwrap();
                        if each {
                            for piece in pieces {
                                socket.write_all(piece.as_bytes()).await.unwrap();
                            }
                        } else {
                            socket.write_all(at_once.as_bytes()).await.unwrap();
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
    fn new(address: SocketAddr, path: &str) -> Self {
        let base = format!("http://{address}/{path}");
        let request = ChatRequest::new(
            ModelId::new("example/model").unwrap(),
            vec![Message::user("Count to a thousand.")],
        );
        let body = wire::chat_body(&request, true).unwrap();
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
        let mut stream = self.client.chat_stream(&self.cx, &self.request).await.unwrap();
        let mut pieces = 0;
        while let Some(event) = stream.next().await {
            if let StreamEvent::Content { text, .. } = event.unwrap() {
                pieces += text.len().min(1);
            }
        }
        pieces
    }

    async fn bare_call(&self) -> usize {
        let request = self
            .bare
            .post(&self.url)
            .header("authorization", "Bearer sk-or-v1-bench")
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .body(self.body.clone());
        let mut answer = request.send().await.unwrap();
        let mut bytes = 0;
        while let Some(piece) = answer.chunk().await.unwrap() {
            bytes += piece.len();
        }
        bytes
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
            assert!(call().await >= PIECES);
        }
        start.elapsed()
    });
    runtime.block_on(task).unwrap()
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
    println!("ratio: client stream over bare stream, {how} {ratio:.2}");
}

fn stream(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let address = serve();
    for (path, how) in [
        ("each", "every piece sent by itself"),
        ("once", "all pieces sent at once"),
    ] {
        let pair: &'static Pair = Box::leak(Box::new(Pair::new(address, path)));
        let bare = |count| in_a_task(&runtime, count, || pair.bare_call());
        let client = |count| in_a_task(&runtime, count, || pair.client_call());
        let mut group = c.benchmark_group(format!("stream/{path}"));
        group.sample_size(20);
        group.bench_function("bare", |b| b.iter_custom(bare));
        group.bench_function("client", |b| b.iter_custom(client));
        group.finish();
        compare(how, 101, || bare(1), || client(1));
    }
}

/// Decodes the whole stream out of pieces of `size` events each, without any connection.
fn decode(pieces: &[bytes::Bytes]) -> usize {
    let errors = wire::ErrorReader::new(std::time::SystemTime::UNIX_EPOCH);
    let mut decoder = wire::ChatStreamDecoder::new(None, errors);
    let mut events = 0;
    for piece in pieces {
        decoder.feed(piece.clone());
        while let Some(event) = decoder.next_event() {
            std::hint::black_box(event.unwrap());
            events += 1;
        }
    }
    events
}

fn parts(c: &mut Criterion) {
    let pieces: Vec<bytes::Bytes> = events().into_iter().map(bytes::Bytes::from).collect();
    c.bench_function("parts/decode 1000 pieces", |b| b.iter(|| decode(&pieces)));
}

criterion_group!(benches, parts, stream);
criterion_main!(benches);

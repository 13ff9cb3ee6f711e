//! One call of the client against one bare call of the HTTP library with the same bytes, to the same server on this machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::net::SocketAddr;

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
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
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

fn main() {
    let pair = Pair::new();
    let which = std::env::args().nth(1).unwrap();
    let n: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    for _ in 0..n { if which == "bare" { pair.bare_call(); } else { pair.client_call(); } }
}

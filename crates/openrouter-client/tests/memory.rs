//! How much memory a streamed answer takes. Counted are this thread's own allocations; the server runs on another.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use allocation_counter::measure;
use futures_util::StreamExt;
use integration_core::chat::Message;
use integration_core::{
    CallContext, ChatClient, ChatRequest, ManualClock, ModelId, RequestId, Secret, StreamEvent,
};
use openrouter_client::{Config, OpenRouterClient};

/// 64 KiB.
const PIECE: usize = 1 << 16;

/// Answers every request with `count` pieces, as fast as they are taken.
fn serve(piece: String, count: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        let end = "data: {\"id\":\"gen-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                   data: [DONE]\n\n";
        let end = format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len());
        let mut request = vec![0; 8192];
        loop {
            let mut filled = 0;
            while !request[..filled].ends_with(b"}") {
                match socket.read(&mut request[filled..]).unwrap_or(0) {
                    0 => return,
                    n => filled += n,
                }
            }
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut sent = socket.write_all(head.as_bytes()).is_ok();
            for _ in 0..count {
                sent = sent && socket.write_all(chunk.as_bytes()).is_ok();
            }
            let _ = sent && socket.write_all(end.as_bytes()).is_ok();
        }
    });
    address
}

/// The most bytes held while a stream of `count` pieces of about `length` bytes is read, its pieces dropped as they come.
fn held(length: usize, count: usize) -> usize {
    let text = "x".repeat(length);
    let piece = format!(
        "data: {{\"id\":\"gen-1\",\"model\":\"example/model\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    );
    let base = format!("http://{}/api/v1", serve(piece, count));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config::new(Secret::new("sk-or-v1-test").unwrap()).with_base_url(&base);
    let client = OpenRouterClient::with_clock(config, Arc::new(ManualClock::new())).unwrap();
    let cx = CallContext::new(RequestId::new("r").unwrap());
    let request = ChatRequest::new(
        ModelId::new("example/model").unwrap(),
        vec![Message::user("Hello")],
    );
    let read = async || {
        let mut stream = client.chat_stream(&cx, &request).await.unwrap();
        let mut pieces = 0;
        while let Some(event) = stream.next().await {
            if let StreamEvent::Content { text, .. } = event.unwrap() {
                assert_eq!(text.len(), length);
                pieces += 1;
            }
        }
        assert_eq!(pieces, count);
    };
    runtime.block_on(read());
    measure(|| runtime.block_on(read())).bytes_max as usize
}

#[test]
fn a_streamed_answer_takes_64_kib_however_long_it_is() {
    let (short, long) = (held(20, 1_000), held(20, 40_000));
    println!("alloc: bytes of a streamed answer of 1,000 pieces {short}");
    println!("alloc: bytes of a streamed answer of 40,000 pieces {long}");
    assert!(short <= PIECE && long <= PIECE, "{short} {long}");
}

#[test]
fn a_streamed_answer_takes_64_kib_and_its_longest_event() {
    for length in [1_000, 10_000, 30_000] {
        let held = held(length, 200);
        println!("alloc: bytes of a streamed answer of pieces of {length} bytes {held}");
        assert!(held <= PIECE + length + 200, "{length}: {held}");
    }
}

//! The memory of one stream does not grow with its length. Counted, not guessed: every allocation of the thread that reads.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::SystemTime;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use futures_util::StreamExt;
use integration_core::chat::Message;
use integration_core::{CallContext, ChatClient, ChatRequest, ModelId, RequestId, Secret, StreamEvent};
use openrouter_client::wire::{ChatStreamDecoder, ErrorReader};
use openrouter_client::{Config, OpenRouterClient};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a stream may take, beside its longest event.
const MOST: u64 = 64 << 10;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3}}\n\ndata: [DONE]\n\n";

fn event(delta: &Value, more: &str) -> String {
    format!(
        "data: {{\"id\":\"gen-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"a/b-2026\",\"provider\":\"P\"{more},\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null,\"native_finish_reason\":null}}]}}\n\n"
    )
}

/// The `n`th piece of a stream, by the kind of stream.
fn piece(kind: &str, n: usize) -> String {
    match kind {
        "text" => event(&json!({"role": "assistant", "content": format!(" word{n}")}), ""),
        "escaped text" => event(&json!({"content": format!("\n\"{n}\"")}), ""),
        "reasoning" => {
            let text = format!(" step{n}");
            event(
                &json!({"content": "", "reasoning": text, "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": text}]}),
                "",
            )
        }
        "arguments" => {
            let call = json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": format!("{n},")}});
            event(&json!({"tool_calls": [call]}), "")
        }
        "new fields each time" => event(&json!({"content": "x"}), &format!(",\"field{n}\":{{\"n\":{n}}}")),
        "comments" => ": OPENROUTER PROCESSING\n\n".repeat(10) + &event(&json!({"content": "x"}), ""),
        _ => unreachable!(),
    }
}

const KINDS: [&str; 6] = [
    "text",
    "escaped text",
    "reasoning",
    "arguments",
    "new fields each time",
    "comments",
];

/// Decodes a stream of `count` pieces, made one by one outside the count.
fn decode(kind: &str, count: usize) -> AllocationInfo {
    measure(|| {
        let mut decoder = ChatStreamDecoder::new(None, ErrorReader::new(SystemTime::UNIX_EPOCH));
        let mut seen = 0;
        for n in 0..=count {
            let mut bytes = Bytes::new();
            allocation_counter::opt_out(|| {
                bytes = Bytes::from(if n < count { piece(kind, n) } else { END.to_owned() });
            });
            decoder.feed(bytes.clone());
            while let Some(event) = decoder.next_event() {
                seen += usize::from(event.unwrap().is_content());
            }
            allocation_counter::opt_out(|| drop(bytes));
        }
        assert!(seen >= count);
    })
}

#[test]
fn a_decoder_does_not_grow() {
    for kind in KINDS {
        let (short, long) = (decode(kind, 100), decode(kind, 5_000));
        assert!(long.bytes_max < MOST, "{kind}: {long:?}");
        assert!(
            long.bytes_max <= short.bytes_max + 64,
            "{kind}: {short:?} {long:?}"
        );
    }
}

#[test]
fn one_long_event_costs_its_length() {
    const LONG: usize = 900_000;
    let counted = measure(|| {
        let mut decoder = ChatStreamDecoder::new(None, ErrorReader::new(SystemTime::UNIX_EPOCH));
        let mut long = Bytes::new();
        allocation_counter::opt_out(|| long = Bytes::from(event(&json!({"content": "x".repeat(LONG)}), "")));
        for _ in 0..50 {
            // In pieces, as a network brings it.
            for at in (0..long.len()).step_by(8192) {
                decoder.feed(long.slice(at..(at + 8192).min(long.len())));
                while let Some(event) = decoder.next_event() {
                    drop(event.unwrap());
                }
            }
        }
        allocation_counter::opt_out(|| drop(long));
    });
    // The bytes of the event (a buffer grows by halves and thirds), and its text.
    assert!(counted.bytes_max < 4 * LONG as u64 + MOST, "{counted:?}");
}

/// Serves one stream of `count` pieces of text on a thread of its own. Each piece is sent once the one before it has been
/// told to have arrived, as a model's words come one after the other.
fn serve(count: usize) -> (SocketAddr, std::sync::mpsc::Sender<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let (arrived, wait) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let mut request = [0; 8192];
            let _ = socket.read(&mut request).await.unwrap();
            socket.write_all(HEAD.as_bytes()).await.unwrap();
            for n in 0..=count {
                let event = if n < count {
                    piece("text", n)
                } else {
                    END.to_owned()
                };
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                socket.write_all(chunk.as_bytes()).await.unwrap();
                if n < count && wait.recv().is_err() {
                    return;
                }
            }
            socket.write_all(b"0\r\n\r\n").await.unwrap();
        });
    });
    (told.recv().unwrap(), arrived)
}

/// The whole way, connection included.
fn through_the_client(count: usize) -> AllocationInfo {
    let (address, arrived) = serve(count);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config::new(Secret::new("sk-or-v1-x").unwrap()).with_base_url(&format!("http://{address}"));
    let client = OpenRouterClient::new(config).unwrap();
    let request = ChatRequest::new(ModelId::new("a/b").unwrap(), vec![Message::user("Count.")]);
    let cx = CallContext::new(RequestId::new("r").unwrap());
    measure(|| {
        runtime.block_on(async {
            let mut stream = client.chat_stream(&cx, &request).await.unwrap();
            let mut seen = 0;
            while let Some(event) = stream.next().await {
                if let StreamEvent::Content { .. } = event.unwrap() {
                    seen += 1;
                    allocation_counter::opt_out(|| arrived.send(()).unwrap());
                }
            }
            assert_eq!(seen, count);
        });
    })
}

#[test]
fn a_stream_through_the_client_does_not_grow() {
    let (short, long) = (through_the_client(100), through_the_client(5_000));
    println!(
        "peak: {} bytes after 100 pieces, {} after 5,000",
        short.bytes_max, long.bytes_max
    );
    assert!(long.bytes_max < MOST, "{long:?}");
    assert!(long.bytes_max <= short.bytes_max + 4096, "{short:?} {long:?}");
}

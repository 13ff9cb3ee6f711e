//! A streamed answer of 1,000 pieces through the client, against the HTTP library alone reading the same bytes from the same
//! server on this machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

mod against_reqwest;

use against_reqwest::{Pair, compare, in_a_task, serve};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::StreamExt;
use integration_core::{ChatClient, StreamEvent};
use openrouter_client::wire;
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

/// Under `/each` every event is sent by itself, as it would be made; under any other path all of them at once.
fn answer(path: &str) -> Vec<String> {
    let mut pieces = vec![HEAD.to_owned()];
    pieces.extend(events().iter().map(|event| chunk(event)));
    pieces.push("0\r\n\r\n".to_owned());
    if path.starts_with("/each") {
        pieces
    } else {
        vec![pieces.concat()]
    }
}

async fn client_call(pair: &Pair) -> usize {
    let mut stream = pair.client.chat_stream(&pair.cx, &pair.request).await.unwrap();
    let mut pieces = 0;
    while let Some(event) = stream.next().await {
        if let StreamEvent::Content { text, .. } = event.unwrap() {
            pieces += text.len().min(1);
        }
    }
    assert_eq!(pieces, PIECES);
    pieces
}

async fn bare_call(pair: &Pair) -> usize {
    let mut answer = pair.bare_answer().await;
    let mut bytes = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        bytes += piece.len();
    }
    bytes
}

fn stream(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let address = serve(answer);
    for (path, how) in [
        ("each", "a stream of 1,000 pieces, each sent by itself"),
        ("once", "a stream of 1,000 pieces, all sent at once"),
    ] {
        let pair: &'static Pair = Box::leak(Box::new(Pair::new(&format!("http://{address}/{path}"), true)));
        let bare = |count| in_a_task(&runtime, count, || bare_call(pair));
        let client = |count| in_a_task(&runtime, count, || client_call(pair));
        let mut group = c.benchmark_group(format!("stream/{path}"));
        group.sample_size(20);
        group.bench_function("bare", |b| b.iter_custom(bare));
        group.bench_function("client", |b| b.iter_custom(client));
        group.finish();
        compare(how, Some(1.3), 301, || bare(1), || client(1));
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

//! How often a piece of a streamed answer allocates memory. Apart from the other benchmarks, because counting costs time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::time::SystemTime;

use allocation_counter::{measure, opt_out};
use bytes::Bytes;
use openrouter_client::wire::{ChatStreamDecoder, ErrorReader};
use serde_json::{Value, json};

const PIECES: usize = 1000;

fn event(delta: &Value, reason: Option<&str>) -> Bytes {
    let chunk = json!({"id": "gen-1760000000-abcdefghij", "object": "chat.completion.chunk", "created": 1_760_000_000,
        "model": "example/model-2026", "provider": "Example", "choices": [{"index": 0, "delta": delta,
        "finish_reason": reason, "native_finish_reason": reason, "logprobs": null}]});
    Bytes::from(format!("data: {chunk}\n\n"))
}

fn main() {
    let text = |n: usize| json!({"role": "assistant", "content": format!(" word{n}")});
    let escaped = |n: usize| json!({"role": "assistant", "content": format!("\n{n}")});
    let reasoning = |n: usize| {
        let text = format!(" step{n}");
        json!({"role": "assistant", "content": "", "reasoning": text,
            "reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0, "format": "unknown"}]})
    };
    let arguments = |n: usize| json!({"role": "assistant", "content": null, "tool_calls": [{"index": 0, "function": {"arguments": format!("{n},")}}]});
    let kinds: [(&str, &dyn Fn(usize) -> Value); 4] = [
        ("text", &text),
        ("text with escapes", &escaped),
        ("reasoning", &reasoning),
        ("arguments of a tool", &arguments),
    ];
    for (name, delta) in kinds {
        let mut pieces: Vec<Bytes> = (0..PIECES).map(|n| event(&delta(n), None)).collect();
        pieces.push(event(&json!({}), Some("stop")));
        pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
        let mut events = 0;
        let counted = measure(|| {
            let mut decoder = ChatStreamDecoder::new(None, ErrorReader::new(SystemTime::UNIX_EPOCH));
            for piece in &pieces {
                // A copy of the handle is no work of the decoder's.
                let mut copy = Bytes::new();
                opt_out(|| copy = piece.clone());
                decoder.feed(copy);
                while let Some(event) = decoder.next_event() {
                    drop(event.unwrap());
                    events += 1;
                }
            }
        });
        assert!(events >= PIECES);
        println!(
            "{name}: {} allocations for {PIECES} pieces, at most {} bytes at a time",
            counted.count_total, counted.bytes_max
        );
        let each = counted.count_total as f64 / PIECES as f64;
        println!("alloc: for each piece of a streamed answer, {name} {each:.2}");
    }
}

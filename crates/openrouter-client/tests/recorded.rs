//! Every recorded chat exchange, cut at random, gives what it gives in one piece.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::SystemTime;

use bytes::Bytes;
use http_transport::{BodyBuffer, HeaderMap};
use integration_core::chat::ChatFold;
use integration_core::{ChatResponse, ErrorKind, Result, StreamEvent, Usage};
use openrouter_client::wire::{ChatStreamDecoder, ErrorReader, read_chat};
use serde_json::Value;

const CUTS: usize = 24;

/// A small generator of numbers, the same ones every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Cuts bytes into pieces: by turns one byte each, few large ones, and anything between.
    fn cut<'a>(&mut self, bytes: &'a [u8], turn: usize) -> Vec<&'a [u8]> {
        if turn == 0 {
            return bytes.chunks(1).collect();
        }
        let pieces = 1 + self.below([4, 40, 400][turn % 3]);
        let mut at: Vec<usize> = (0..pieces)
            .map(|_| self.below(bytes.len() + 1))
            .chain([0, bytes.len()])
            .collect();
        at.sort_unstable();
        at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }
}

fn errors() -> ErrorReader {
    ErrorReader::new(SystemTime::UNIX_EPOCH)
}

fn stream(pieces: &[&[u8]]) -> Vec<Result<StreamEvent>> {
    let mut decoder = ChatStreamDecoder::new(None, errors());
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        events.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    decoder.finish();
    events.extend(std::iter::from_fn(|| decoder.next_event()));
    events
}

fn whole(pieces: &[&[u8]], status: u16) -> Result<ChatResponse> {
    let mut buffer = BodyBuffer::new(32 << 20);
    for piece in pieces {
        buffer.push(Bytes::copy_from_slice(piece)).unwrap();
    }
    match status {
        200 => read_chat(&buffer.finish(), None, &errors()),
        status => Err(errors().read_http(status, &HeaderMap::new(), &buffer.finish())),
    }
}

fn fold(events: impl IntoIterator<Item = StreamEvent>) -> Option<ChatResponse> {
    let mut fold = ChatFold::new();
    events.into_iter().for_each(|event| fold.push(event).unwrap());
    fold.finish()
}

/// The last `usage` object in a body, found without the client's own code: amounts are compared digit by digit.
fn usage_in(body: &str) -> Option<Usage> {
    let at = body.rfind("\"usage\":")? + "\"usage\":".len();
    let raw: &serde_json::value::RawValue = serde_json::Deserializer::from_str(&body[at..])
        .into_iter()
        .next()?
        .ok()?;
    Usage::from_json(raw.get()).ok()
}

#[test]
fn cuts_make_no_difference() {
    let file = integration_core::testing::shared_data(
        "cuts_make_no_difference",
        "openrouter/recorded/exchanges.jsonl",
    );
    let Some(file) = file else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let mut numbers = Numbers(0x5eed);
    let (mut streamed, mut unary, mut refused, mut failed) = (0, 0, 0, 0);
    for line in text.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        if !exchange["url_path"]
            .as_str()
            .unwrap()
            .contains("/chat/completions")
        {
            continue;
        }
        let name = format!("{} #{}", exchange["path"], exchange["n"]);
        let status = exchange["status"].as_u64().unwrap() as u16;
        let body = exchange["response_body"].as_str().unwrap();
        let is_stream = exchange["response_headers"]["content-type"]
            .as_str()
            .unwrap()
            .contains("event-stream");
        if is_stream && status == 200 {
            streamed += 1;
            let events = stream(&[body.as_bytes()]);
            let failure = events.iter().find_map(|event| event.as_ref().err());
            failed += usize::from(failure.is_some());
            let answer = fold(events.iter().filter_map(|event| event.as_ref().ok()).cloned());
            match (&failure, &answer) {
                (None, Some(answer)) => {
                    assert_eq!(answer.usage, usage_in(body), "{name}");
                    assert!(
                        answer.choices.iter().all(|choice| choice.finish_reason.is_some()),
                        "{name}"
                    );
                }
                (Some(error), None) => {
                    assert!(body.contains("\"error\""), "{name}: {error:?}");
                    assert_eq!(error.usage(), usage_in(body).as_ref(), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
            let expected = format!("{events:?}");
            for turn in 0..CUTS {
                assert_eq!(
                    format!("{:?}", stream(&numbers.cut(body.as_bytes(), turn))),
                    expected,
                    "{name}"
                );
            }
        } else {
            let answer = whole(&[body.as_bytes()], status);
            match &answer {
                Ok(answer) => {
                    unary += 1;
                    assert_eq!(answer.usage, usage_in(body), "{name}");
                    assert!(
                        answer.id.is_some() && answer.upstream.is_some() && !answer.choices.is_empty(),
                        "{name}"
                    );
                    let folded = fold(answer.clone().into_events()).unwrap();
                    assert_eq!(
                        (folded.text(), folded.usage),
                        (answer.text(), answer.usage.clone()),
                        "{name}"
                    );
                }
                Err(error) => {
                    refused += 1;
                    assert!(
                        status != 200 && error.kind() != ErrorKind::Protocol,
                        "{name}: {error:?}"
                    );
                }
            }
            let expected = format!("{answer:?}");
            for turn in 0..CUTS {
                assert_eq!(
                    format!("{:?}", whole(&numbers.cut(body.as_bytes(), turn), status)),
                    expected,
                    "{name}"
                );
            }
        }
    }
    println!("{streamed} streams ({failed} with an error), {unary} answers, {refused} refusals");
    assert_eq!((streamed, failed, unary, refused), (71, 1, 144, 6));
}

#[test]
fn recorded_model_lists_are_read() {
    let file = integration_core::testing::shared_data(
        "recorded_model_lists_are_read",
        "openrouter/recorded/exchanges.jsonl",
    );
    let Some(file) = file else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let lists = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lists = lists.filter(|exchange| exchange["url_path"].as_str().unwrap().ends_with("/models"));
    let mut seen = 0;
    for exchange in lists {
        let body = exchange["response_body"].as_str().unwrap();
        // One recording leaves the long list out.
        if body.starts_with("<elided") {
            continue;
        }
        let expected = serde_json::from_str::<Value>(body).unwrap()["data"]
            .as_array()
            .unwrap()
            .len();
        let (records, _) = model_catalogue::openrouter::read_models(body).unwrap();
        assert_eq!(records.len(), expected);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

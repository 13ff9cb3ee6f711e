//! The decoder against the standard, an oracle and the laws it must keep.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::sse::{Plain, decode, decode_with};
use http_transport::sse::{SseDecoder, SseError, SseLimits};
use proptest::prelude::*;

fn texts(input: &str) -> Vec<String> {
    decode(&[input.as_bytes()])
        .into_iter()
        .map(|(_, data, _)| data)
        .collect()
}

/// The standard's algorithm, word by word, on the whole text at once.
fn oracle(bytes: &[u8]) -> Vec<Plain> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut data, mut name, mut id) = (Vec::new(), String::new(), String::new(), None);
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                data.pop();
                let name = if name.is_empty() {
                    "message".to_owned()
                } else {
                    name.clone()
                };
                events.push((name, std::mem::take(&mut data), id.clone()));
            }
            name.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            "event" => name = value.to_owned(),
            "id" if !value.contains('\0') => id = Some(value.to_owned()),
            _ => {}
        }
    }
    events
}

#[test]
fn the_standards_examples() {
    assert_eq!(texts("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
    assert_eq!(
        decode(&[
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
        ]),
        [
            ("message".into(), "first event".into(), Some("1".into())),
            ("message".into(), "second event".into(), Some(String::new())),
            ("message".into(), " third event".into(), Some(String::new())),
        ]
    );
    assert_eq!(texts("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    assert_eq!(texts("data:test\n\ndata: test\n\n"), ["test", "test"]);
}

#[test]
fn fields_and_line_ends() {
    assert_eq!(
        decode(&[b"event: add\r\ndata: 1\r\n\r\nevent:\rdata: 2\r\revent: lost\n\ndata: 3\n\n"]),
        [
            ("add".into(), "1".into(), None),
            ("message".into(), "2".into(), None),
            ("message".into(), "3".into(), None)
        ]
    );
    assert_eq!(
        texts("\u{feff}data: bom\n\n\u{feff}data: no field\n\ndata: x\n\n"),
        ["bom", "x"]
    );
    assert_eq!(
        texts("Data: case\nother: 1\ndata : space\n:c\n\n"),
        Vec::<String>::new()
    );
}

#[test]
fn an_unfinished_event_is_kept_apart() {
    let (events, rest, _) = decode_with(
        SseLimits::default(),
        &[b"data: a\n\nevent: e\ndata: b\nda", b"ta: c"],
    );
    assert_eq!(events.len(), 1);
    assert_eq!(rest, Some(("e".into(), "b\nc".into(), None)));
    assert_eq!(
        decode_with(SseLimits::default(), &[b"data: a\n\n: comment"]).1,
        None
    );
}

#[test]
fn feeding_without_taking_loses_nothing() {
    let mut decoder = SseDecoder::default();
    decoder.feed("data: 1\n\nda".into());
    decoder.feed("ta: 2\n\n".into());
    let mut seen = Vec::new();
    while let Some(event) = decoder.next_event().unwrap() {
        seen.push(event.text().to_owned());
    }
    assert_eq!(seen, ["1", "2"]);
}

#[test]
fn f23_limits_have_names() {
    let limits = SseLimits::default().with_line(10).with_event(12).with_total(60);
    let run = |input: &[u8]| decode_with(limits, &[input]).2;
    assert_eq!(run(b"data: 1234\n\n"), None);
    assert_eq!(run(b"data: 12345\n\n"), Some(SseError::LineTooLong { limit: 10 }));
    assert_eq!(run(b"0123456789A"), Some(SseError::LineTooLong { limit: 10 }));
    assert_eq!(
        run(b"data:12345\ndata:123456"),
        Some(SseError::LineTooLong { limit: 10 })
    );
    assert_eq!(run(b"data:12345\ndata:12345\ndata\n\n"), None);
    assert_eq!(
        run(b"data:12345\ndata:12345\ndata\ndata\n\n"),
        Some(SseError::EventTooLarge { limit: 12 })
    );
    let (events, _, error) = decode_with(limits, &[&b"data: 1\n\n".repeat(10)]);
    assert_eq!(
        (events.len(), error),
        (6, Some(SseError::StreamTooLong { limit: 60 }))
    );
    assert!(
        SseError::StreamTooLong { limit: 60 }
            .to_string()
            .contains("60 bytes")
    );
}

/// Text made of what matters to the decoder.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => Just(b"data: ".to_vec()),
        2 => Just(b"data:".to_vec()),
        1 => Just(b"data".to_vec()),
        2 => Just(b"event: e".to_vec()),
        2 => Just(b"id: 7".to_vec()),
        1 => Just(b"retry: 5".to_vec()),
        2 => Just(b": comment".to_vec()),
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        3 => Just(b"\r\n".to_vec()),
        4 => Just(b"\n\n".to_vec()),
        1 => Just(vec![0xEF, 0xBB, 0xBF]),
        2 => "[a-z\u{e4}\u{1f980}]{0,6}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_oracle(bytes in streams()) {
        prop_assert_eq!(decode(&[&bytes]), oracle(&bytes));
    }

    #[test]
    fn arbitrary_bytes_agree_too(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decode(&[&bytes]), oracle(&bytes));
    }

    #[test]
    fn f24_cuts_make_no_difference(bytes in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let limits = SseLimits::default();
        prop_assert_eq!(decode_with(limits, &cut(&bytes, &cuts)), decode_with(limits, &[&bytes]));
    }

    #[test]
    fn cuts_make_no_difference_to_limits(
        bytes in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        line in 0usize..30, event in 0usize..30, total in 0u64..120,
    ) {
        let limits = SseLimits::default().with_line(line).with_event(event).with_total(total);
        prop_assert_eq!(decode_with(limits, &cut(&bytes, &cuts)), decode_with(limits, &[&bytes]));
    }

    #[test]
    fn line_ends_make_no_difference(text in "(data: [a-z]{0,4}|: c|id: 3|event: x)?(\n(data: [a-z]{0,4}|: c|data|id: 3)?){0,12}") {
        let lf = decode(&[text.as_bytes()]);
        prop_assert_eq!(&decode(&[text.replace('\n', "\r\n").as_bytes()]), &lf);
        prop_assert_eq!(&decode(&[text.replace('\n', "\r").as_bytes()]), &lf);
    }
}

#[test]
fn debug_tells_lengths_only() {
    let mut decoder = SseDecoder::default();
    decoder.feed(
        "id: canary\nevent: canary\ndata: canary\n\n{canary\nid: canary\ndata: canary\ndata: can".into(),
    );
    let before = format!("{decoder:?}");
    let event = decoder.next_event().unwrap().unwrap();
    assert_eq!(decoder.next_event().unwrap(), None);
    let shown = format!("{before} {event:?} {decoder:#?}");
    assert!(!shown.contains("can"), "{shown}");
    // Bytes are shown as numbers where nobody takes care.
    assert!(!shown.contains("99, 97"), "{shown}");
    assert!(format!("{event:?}").contains("data_bytes: 6"));
}

//! Event streams as bad as they come: the lines 58 to 67 of the list of bad input. How much memory they take is in
//! `memory.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::sse::{Plain, decode, decode_with};
use http_transport::sse::{SseDecoder, SseError, SseLimits};

fn message(data: &str) -> Plain {
    ("message".into(), data.into(), None)
}

/// Decodes in two pieces, cut at each place in turn, and in single bytes; all must agree with the whole.
fn every_cut(bytes: &[u8]) -> Vec<Plain> {
    let whole = decode_with(SseLimits::default(), &[bytes]);
    for at in 0..=bytes.len() {
        let (a, b) = bytes.split_at(at);
        assert_eq!(decode_with(SseLimits::default(), &[a, b]), whole, "cut at {at}");
        for second in 0..=b.len() {
            let (b, c) = b.split_at(second);
            assert_eq!(decode_with(SseLimits::default(), &[a, b, c]), whole);
        }
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode_with(SseLimits::default(), &single), whole);
    whole.0
}

#[test]
fn input_58_one_byte_order_mark_is_dropped_however_it_is_cut() {
    assert_eq!(every_cut(b"\xEF\xBB\xBFdata: x\n\n"), [message("x")]);
    // Only one, only at the very start, only if it is whole.
    assert_eq!(
        every_cut(b"\xEF\xBB\xBF\xEF\xBB\xBFdata: x\n\ndata: y\n\n"),
        [message("y")]
    );
    assert_eq!(every_cut(b"data: x\n\n\xEF\xBB\xBFdata: y\n\n"), [message("x")]);
    assert_eq!(every_cut(b"\xEF\xBBdata: x\n\ndata: y\n\n"), [message("y")]);
    assert_eq!(every_cut(b"\xEFdata: x\n\ndata: y\n\n"), [message("y")]);
    assert_eq!(every_cut(b"\xEF\xBB\xBF"), []);
    assert_eq!(every_cut(b"\xEF\xBB"), []);
    assert_eq!(every_cut(b"\xEF\xBB\xBF\n\ndata: x\n\n"), [message("x")]);
}

#[test]
fn input_59_lines_may_end_with_cr_alone() {
    assert_eq!(
        every_cut(b": c\r\revent: e\rdata: 1\rdata: 2\r\rdata: 3\r\r"),
        [("e".into(), "1\n2".into(), None), message("3")]
    );
    // An event is given out with its own line end, not with the byte that follows.
    let mut decoder = SseDecoder::default();
    decoder.feed("data: 1\r\r".into());
    assert_eq!(decoder.next_event().unwrap().unwrap().text(), "1");
}

#[test]
fn input_60_a_line_end_cut_in_two_is_one_line_end() {
    assert_eq!(
        every_cut(b"data: 1\r\ndata: 2\r\n\r\ndata: 3\r\n\r\n"),
        [message("1\n2"), message("3")]
    );
    // Mixed: CR LF is one end, LF CR are two.
    assert_eq!(
        every_cut(b"data: 1\r\n\rdata: 2\n\rdata: 3\n\n"),
        [message("1"), message("2"), message("3")]
    );
    // Empty pieces between the halves change nothing.
    assert_eq!(
        decode(&[b"data: 1\r", b"", b"\ndata: 2\r", b"", b"", b"\n\r\n"]),
        [message("1\n2")]
    );
}

#[test]
fn input_61_a_letter_cut_at_each_of_its_bytes_arrives_whole() {
    let letters = "\u{e9}\u{20ac}\u{1f980}\u{10ffff}e\u{301}\u{feff}";
    let stream = format!("data: {letters}\n\nevent: {letters}\nid: {letters}\ndata:{letters}\n\n");
    assert_eq!(
        every_cut(stream.as_bytes()),
        [
            message(letters),
            (letters.into(), letters.into(), Some(letters.into()))
        ]
    );
}

#[test]
fn input_62_what_is_no_utf8_becomes_replacement_characters() {
    for bad in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\xa6",
        b"\x80\x80",
        b"a\xffb\xe2\x82c",
        b"\xe2\x82\xe2\x82\xac",
        b"\0",
    ] {
        let stream = [&b"data: "[..], bad, b"\ndata: ok\n\n"].concat();
        let expected = format!("{}\nok", String::from_utf8_lossy(bad));
        assert_eq!(every_cut(&stream), [message(&expected)], "{bad:?}");
        // In a name or an id it is no different, and does no harm to the data.
        let stream = [&b"event: "[..], bad, b"\ndata: ok\n\n"].concat();
        let name = String::from_utf8_lossy(bad).into_owned();
        assert_eq!(every_cut(&stream), [(name, "ok".into(), None)]);
    }
    // A letter is not put together over a line end.
    assert_eq!(
        every_cut(b"data: \xe2\x82\ndata: \xac\n\n"),
        [message("\u{fffd}\n\u{fffd}")]
    );
}

#[test]
fn input_63_a_line_without_end_fails_at_its_limit_not_before_and_for_good() {
    let limits = SseLimits::default().with_line(1000);
    let long = [&b"data: "[..], &[b'x'; 994]].concat();
    let (events, _, failed) = decode_with(limits, &[&long, b"\n\n"]);
    assert_eq!((events.len(), failed), (1, None));
    for pieces in [
        vec![&long[..], b"x"],
        vec![&long[..], b"x\n\n"],
        long.chunks(1).chain([&b"x"[..]]).collect(),
    ] {
        let (events, rest, failed) = decode_with(limits, &pieces);
        assert_eq!((events.len(), rest), (0, None));
        assert_eq!(failed, Some(SseError::LineTooLong { limit: 1000 }));
    }
    // A decoder that has failed takes nothing more and gives nothing more.
    let mut decoder = SseDecoder::new(limits);
    decoder.feed(Bytes::from(vec![b'x'; 1001]));
    assert!(decoder.next_event().is_err());
    let taken = decoder.bytes_taken();
    decoder.feed("\n\ndata: x\n\n".into());
    assert!(decoder.next_event().is_err());
    assert_eq!((decoder.bytes_taken(), decoder.finish()), (taken, None));
}

#[test]
fn input_64_a_flood_of_comments_gives_no_event_and_hides_none() {
    let flood = b": keep-alive\n\n".repeat(1000);
    assert_eq!(decode(&[&flood]), []);
    assert_eq!(
        decode(&[&flood, b"data: x\n", &flood[..13], b"data: y\n\n", &flood]),
        [message("x\ny")]
    );
    let limits = SseLimits::default().with_total(flood.len() as u64);
    assert_eq!(decode_with(limits, &[&flood]).2, None);
    assert_eq!(
        decode_with(limits, &[&flood, b":"]).2,
        Some(SseError::StreamTooLong {
            limit: flood.len() as u64
        })
    );
}

#[test]
fn input_66_json_over_several_data_lines_is_one_event() {
    let stream = b"data: {\ndata:   \"a\": [1,\r\ndata:2],\rdata: \"b\": \"c\"\ndata\ndata: }\n\n";
    let events = every_cut(stream);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].1, "{\n  \"a\": [1,\n2],\n\"b\": \"c\"\n\n}");
    let value: serde_json::Value = serde_json::from_str(&events[0].1).unwrap();
    assert_eq!(value, serde_json::json!({"a": [1, 2], "b": "c"}));
    // Lines of other fields in between do not break it up.
    assert_eq!(
        every_cut(b"data: {\nid: 1\n: c\nfoo: bar\ndata: }\n\n")[0].1,
        "{\n}"
    );
}

#[test]
fn input_67_junk_in_names_ids_and_retries_does_no_harm() {
    // The last name counts, an empty one is none, and it holds for one event only.
    assert_eq!(
        every_cut(b"event: a\nevent: b\ndata: 1\n\ndata: 2\n\nevent: c\nevent\ndata: 3\n\nevent: lost\n\ndata: 4\n\n"),
        [("b".into(), "1".into(), None), message("2"), message("3"), message("4")]
    );
    // An id with NUL is ignored, an empty one resets, and it holds for all events that follow.
    assert_eq!(
        every_cut(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\nid\ndata: c\n\nid: \0\ndata: d\n\n"),
        [
            ("message".into(), "a".into(), Some("1".into())),
            ("message".into(), "b".into(), Some("1".into())),
            ("message".into(), "c".into(), Some(String::new())),
            ("message".into(), "d".into(), Some(String::new())),
        ]
    );
    for (junk, expected) in [
        ("250", Some(250)),
        ("0", Some(0)),
        ("007", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("99999999999999999999999", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        (" 1", None),
        ("1 ", None),
        ("\u{663}", None),
        ("\0", None),
        ("", None),
        ("soon", None),
    ] {
        let mut decoder = SseDecoder::default();
        decoder.feed(format!("retry: {junk}\ndata: x\n\n").into());
        assert_eq!(decoder.next_event().unwrap().unwrap().text(), "x");
        assert_eq!(decoder.retry(), expected.map(Duration::from_millis), "{junk:?}");
    }
    // What is junk does not undo what was good.
    let mut decoder = SseDecoder::default();
    decoder.feed("retry: 250\nretry: x\nretry: -1\nretry: 99999999999999999999999\n\n".into());
    assert_eq!(decoder.next_event(), Ok(None));
    assert_eq!(decoder.retry(), Some(Duration::from_millis(250)));
    assert_eq!(decoder.bytes_taken(), 62);
}

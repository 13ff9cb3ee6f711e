//! Answers that are not what they should be: the faults F13 to F31 and F58, as far as they concern the transport.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{attempts, endpoint, events, get, let_time_pass, phase, secs, settle, transport, whole};
use futures_util::StreamExt;
use http_transport::retry::RetryPolicy;
use http_transport::sse::SseError;
use http_transport::{
    HeaderName, HeaderValue, Limits, Phase, Request, Transport, TransportConfig, TransportError, bearer,
};
use integration_core::{Delivery, Error, ErrorKind, ManualClock, Secret};
use provider_testkit::upstream::{Gate, Script, ScriptedUpstream};

#[tokio::test]
async fn f13_a_web_page_is_known_by_its_type_and_read_only_at_its_beginning() {
    let page = format!("<html>{}", "p".repeat(100_000));
    for kind in ["text/html", "Text/HTML ; charset=utf-8", "application/xhtml+xml"] {
        let server = ScriptedUpstream::always(Script::whole(200, kind, page.clone()).stall()).await;
        let response = get(&transport(&ManualClock::new()), &server).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert!(response.is_web_page() && !response.is_event_stream(), "{kind}");
        let beginning = response.beginning(512).await.unwrap();
        assert_eq!(&beginning[..], &page.as_bytes()[..512]);
        // The rest is not waited for: the connection is closed.
        server.closed().await;
    }
    for (script, kind) in [
        (
            Script::json(200, "{}").with_header("content-type", "Application/JSON;x=y"),
            Some("Application/JSON"),
        ),
        (
            Script::json(200, "").with_header("content-type", " ; charset=x"),
            None,
        ),
        (
            Script::new().send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
            None,
        ),
    ] {
        let server = ScriptedUpstream::always(script).await;
        let response = get(&transport(&ManualClock::new()), &server).await.unwrap();
        assert_eq!((response.media_type(), response.is_web_page()), (kind, false));
    }
    // An error that quotes a body stays short, whatever the body.
    let error = Error::new(ErrorKind::Protocol, page);
    assert!(error.message().len() <= 512 + "…".len());
}

#[tokio::test]
async fn f13_a_web_page_read_as_events_gives_none() {
    let page = Script::html(200, "<html>\n<body>\n\nlog in: here\n\n</body></html>\n");
    let server = ScriptedUpstream::always(page).await;
    let mut events = events(&transport(&ManualClock::new()), &server).await;
    assert!(events.next().await.is_none());
    assert!(events.take_unterminated().is_none());
}

#[tokio::test]
async fn f14_an_empty_answer_is_told_as_empty_at_once() {
    for script in [
        Script::empty(204),
        Script::empty(200),
        Script::json(200, ""),
        Script::chunked(200, "application/json"),
        Script::until_close(200, "application/json"),
        Script::json(200, " \r\n\n "),
    ] {
        let server = ScriptedUpstream::always(script.clone()).await;
        let transport = transport(&ManualClock::new());
        let body = whole(&transport, &server).await.unwrap();
        assert!(body.iter().all(u8::is_ascii_whitespace), "{script:?}");
        let mut events = events(&transport, &server).await;
        assert!(events.next().await.is_none(), "{script:?}");
        assert!(events.take_unterminated().is_none());
    }
}

#[tokio::test]
async fn f15_a_body_that_breaks_off_is_never_a_success() {
    let body = r#"{"id":"gen-1","choices":[]}"#;
    let scripts = [
        Script::json(200, body).wrong_length(body.len() + 1).cut(),
        Script::json(200, body).wrong_length(100_000).reset(),
        Script::chunked(200, "application/json").send(body).cut(),
        Script::chunked(200, "application/json").send(body).reset(),
        // A chunk that is announced and does not come, and one whose length is no number.
        Script::new()
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a")
            .cut(),
        Script::new().send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"),
    ];
    for script in scripts {
        let server = ScriptedUpstream::always(script.clone()).await;
        let transport = transport(&ManualClock::new());
        let error = whole(&transport, &server).await.unwrap_err();
        assert!(
            matches!(error, TransportError::Broken { .. }),
            "{script:?}: {error:?}"
        );
        assert!(error.to_string().starts_with("the connection broke: "), "{error}");
        // It may have been billed, so it is not sent again by itself.
        let error = Error::from(error);
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Truncated, Delivery::Partial)
        );
        // Read as a stream it ends with the error, not with an end.
        let mut events = events(&transport, &server).await;
        assert!(events.next().await.unwrap().is_err(), "{script:?}");
        assert!(events.next().await.is_none());
        assert!(events.take_unterminated().is_none());
        assert!(format!("{events:?}").contains("open: false"));
    }
}

#[tokio::test]
async fn f15_a_length_that_is_too_short_spoils_neither_this_answer_nor_the_next() {
    let body = r#"{"id":"gen-1"}{"id":"of somebody else"}"#;
    let server = ScriptedUpstream::sequence([
        Script::json(200, body).wrong_length(14),
        Script::json(200, "second"),
    ])
    .await;
    let transport = transport(&ManualClock::new());
    assert_eq!(
        &whole(&transport, &server).await.unwrap()[..],
        br#"{"id":"gen-1"}"#
    );
    settle().await;
    // What came beyond is not taken for the beginning of the next answer.
    assert_eq!(&whole(&transport, &server).await.unwrap()[..], b"second");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn f19_a_stream_that_stalls_is_given_up_and_closed() {
    let server = ScriptedUpstream::always(Script::sse(["1"]).stall()).await;
    let clock = ManualClock::new();
    let mut events = events(&transport(&clock), &server).await;
    assert_eq!(events.next().await.unwrap().unwrap().text(), "1");
    events.content_arrived();
    // The reader's own slowness is not the server's.
    clock.advance(secs(1000));
    let task = tokio::spawn(async move {
        let error = events.next().await.unwrap().unwrap_err();
        (error, events.next().await.is_none(), events)
    });
    let (error, ended, _events) = let_time_pass(&clock, task).await;
    assert_eq!((phase(&error), ended), ((Phase::Idle, Delivery::Partial), true));
    assert_eq!(clock.requested_sleeps().last(), Some(&secs(90)));
    // Though the stream still lives, its connection is closed.
    server.closed().await;
    assert_eq!(attempts(error, RetryPolicy::standard()), 1);
}

#[tokio::test]
async fn f20_comments_are_no_silence_but_no_content_either() {
    let gates: Vec<Gate> = (0..40).map(|_| Gate::new()).collect();
    // An event that the reader does not take for content, then comments.
    let script = gates.iter().fold(Script::sse(["role"]), |script, gate| {
        script.wait(gate).send(": still here\n\n")
    });
    let server = ScriptedUpstream::always(script.stall()).await;
    let clock = ManualClock::new();
    let mut events = events(&transport(&clock), &server).await;
    assert_eq!(events.next().await.unwrap().unwrap().text(), "role");
    let reader = tokio::spawn(async move { events.next().await.unwrap().unwrap_err() });
    let mut comments = 0;
    for gate in &gates {
        settle().await;
        if reader.is_finished() {
            break;
        }
        gate.open();
        // Only once the comment has been read does the reader wait anew.
        settle().await;
        clock.advance(secs(10));
        comments += 1;
    }
    assert_eq!(
        phase(&reader.await.unwrap()),
        (Phase::FirstContent, Delivery::Partial)
    );
    // 300 s of comments: far longer than the 90 s of silence that are allowed.
    assert_eq!(comments, 30);
    server.closed().await;
}

#[tokio::test]
async fn f23_a_line_without_end_is_a_limit_error_and_closes_the_connection() {
    // Two megabytes in one line; the decoder takes one.
    let flood = Script::chunked(200, "text/event-stream").drip(vec![b'x'; 2 << 20], 1 << 16);
    let server = ScriptedUpstream::always(flood.stall()).await;
    let mut events = events(&transport(&ManualClock::new()), &server).await;
    let error = events.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, TransportError::Sse(SseError::LineTooLong { limit }) if limit == 1 << 20),
        "{error:?}"
    );
    assert!(events.next().await.is_none());
    server.closed().await;
    let error = Error::from(error);
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Protocol, Delivery::Partial)
    );
}

#[tokio::test]
async fn f24_a_stream_in_single_bytes_gives_the_same_events() {
    let bytes = "\u{feff}event: e\r\ndata: gr\u{fc}\u{df}e \u{1f980}\r\n\r\n: c\r\rdata: a\ndata: b\n\nid: 7\r\ndata\r\n\r\n";
    let whole = Script::chunked(200, "text/event-stream").send(bytes);
    let apart = Script::chunked(200, "text/event-stream").drip(bytes, 1);
    let server = ScriptedUpstream::sequence([whole, apart]).await;
    let transport = transport(&ManualClock::new());
    let mut seen = Vec::new();
    for _ in 0..2 {
        let events: Vec<_> = events(&transport, &server).await.collect().await;
        let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            events.iter().map(|event| event.text()).collect::<Vec<_>>(),
            ["grüße 🦀", "a\nb", ""]
        );
        seen.push(events);
    }
    assert_eq!(seen[0], seen[1]);
}

/// A gzip stream of `zeros` zero bytes, by its own format: deflate blocks of one literal and copies of it.
fn bomb(zeros: usize) -> Vec<u8> {
    // Bits of one block with fixed codes: the literal 0 (00110000), then copies of 258 bytes from one byte back: length
    // symbol 285 (11000101) and distance symbol 0 (00000).
    let mut bits: Vec<bool> = vec![true, true, false];
    let mut code = |text: &str| bits.extend(text.bytes().map(|bit| bit == b'1'));
    code("00110000");
    for _ in 0..zeros / 258 {
        code("11000101");
        code("00000");
    }
    code("0000000");
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(bits.chunks(8).map(|byte| {
        byte.iter()
            .enumerate()
            .fold(0, |sum, (at, bit)| sum | (u8::from(*bit) << at))
    }));
    out
}

#[tokio::test]
async fn f31_what_is_compressed_is_neither_asked_for_nor_expanded() {
    // 64 MiB in 420 KB: expanded it would break the cap of 32 MiB; as it came it does not.
    let bomb = bomb(64 << 20);
    assert!(bomb.len() < 450_000);
    for encoding in ["gzip", "gzip, gzip", "br", "zstd", "deflate"] {
        let script = Script::json(200, "")
            .with_header("content-encoding", encoding)
            .send(bomb.clone())
            .wrong_length(bomb.len());
        let server = ScriptedUpstream::always(script).await;
        let transport = transport(&ManualClock::new());
        let response = get(&transport, &server).await.unwrap();
        assert_eq!(response.header("content-encoding"), Some(encoding));
        assert_eq!(&response.bytes().await.unwrap()[..], &bomb[..]);
        assert_eq!(server.next_request().await.header("accept-encoding"), None);
    }
    // And the cap counts the bytes that come.
    let server = ScriptedUpstream::always(Script::json(200, "x".repeat(450_000))).await;
    let config = TransportConfig::default().with_limits(Limits::default().with_body(440_000));
    let transport = Transport::new(config, Arc::new(ManualClock::new())).unwrap();
    let error = whole(&transport, &server).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { limit: 440_000 }));
}

#[tokio::test]
async fn f58_a_redirect_is_an_answer_and_no_credential_leaves_for_elsewhere() {
    let elsewhere = ScriptedUpstream::always(Script::json(200, "{}")).await;
    for status in [300, 301, 302, 303, 304, 305, 307, 308, 399] {
        let server = ScriptedUpstream::always(Script::redirect(status, &elsewhere.url())).await;
        let request = Request::post(endpoint(&server.url()), "{}")
            .with_header(
                HeaderName::from_static("authorization"),
                bearer(&Secret::new("k").unwrap()).unwrap(),
            )
            .with_header(
                HeaderName::from_static("x-api-key"),
                HeaderValue::from_static("k"),
            );
        let response = transport(&ManualClock::new()).send(request, None).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.header("location"), Some(elsewhere.url().as_str()));
        response.bytes().await.unwrap();
        assert_eq!(server.requests().len(), 1);
    }
    settle().await;
    assert_eq!((elsewhere.connections(), elsewhere.requests().len()), (0, 0));
}

#[tokio::test]
async fn input_76_storms_of_odd_statuses_are_answers_or_errors_but_never_a_hang() {
    for status in [599, 600, 999, 299, 418] {
        let server = ScriptedUpstream::always(Script::json(status, "{}")).await;
        let response = get(&transport(&ManualClock::new()), &server).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(&response.bytes().await.unwrap()[..], b"{}");
    }
    for head in [
        "HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 1000 Odd\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 -1 Odd\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 2x0 Odd\r\ncontent-length: 0\r\n\r\n",
        "not HTTP at all\r\n\r\n",
    ] {
        let server = ScriptedUpstream::always(Script::new().send(head).stall()).await;
        let error = get(&transport(&ManualClock::new()), &server).await.unwrap_err();
        assert_eq!(Error::from(error).kind(), ErrorKind::Transport, "{head}");
        server.closed().await;
    }
}

#[tokio::test]
async fn input_76_interim_answers_do_not_put_off_the_deadline() {
    // A thousand of them, then the answer: it is the answer that counts.
    let storm = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    let good = Script::new()
        .drip(storm.clone(), 270)
        .then(Script::json(200, "done"));
    let server = ScriptedUpstream::always(good).await;
    let clock = ManualClock::new();
    assert_eq!(&whole(&transport(&clock), &server).await.unwrap()[..], b"done");

    // With no answer after them, the first-byte deadline holds.
    let server = ScriptedUpstream::always(Script::new().send(storm).stall()).await;
    let (transport, to) = (transport(&clock), endpoint(&server.url()));
    let task = tokio::spawn(async move { transport.send(Request::get(to), None).await.unwrap_err() });
    server.next_request().await;
    settle().await;
    clock.advance(secs(120) - Duration::from_nanos(1));
    settle().await;
    assert!(!task.is_finished());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(
        phase(&task.await.unwrap()),
        (Phase::FirstByte, Delivery::MaybeSent)
    );
}

#[test]
fn input_77_retry_after_in_every_form() {
    use http_transport::date::{MAX_RETRY_AFTER, retry_after};
    let now = std::time::SystemTime::UNIX_EPOCH + secs(784_111_777);
    for (value, expected) in [
        ("0", Some(0)),
        ("7", Some(7)),
        ("  7\t", Some(7)),
        ("007", Some(7)),
        ("86400", Some(86_400)),
        ("86401", Some(86_400)),
        ("1000000000", Some(86_400)),
        ("18446744073709551616", Some(86_400)),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("1,5", None),
        ("7 seconds", None),
        ("soon", None),
        ("", None),
        ("\u{663}", None),
        ("NaN", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
        ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
        ("Sun Nov  6 08:49:47 1994", Some(10)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("Sun, 06 Nov 2094 08:49:47 GMT", Some(86_400)),
        ("Sun, 06 Nov 1994 08:49:47 PST", None),
        ("Sun, 32 Nov 1994 08:49:47 GMT", None),
        ("Sun, 06 Nov 1994 25:49:47 GMT", None),
        ("Sun, 06 Nov 99999 08:49:47 GMT", None),
        ("1994-11-06T08:49:47Z", None),
    ] {
        assert_eq!(retry_after(value, now), expected.map(secs), "{value:?}");
    }
    assert_eq!(MAX_RETRY_AFTER, secs(86_400));
}

//! The scripted upstream, seen from a plain socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::ErrorKind;

use provider_testkit::upstream::{Gate, Received, Script, ScriptedUpstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GET: &str = "GET /v1/models?limit=5 HTTP/1.1\r\nHost: test\r\n\r\n";

struct Peer(TcpStream);

impl Peer {
    async fn connect(upstream: &ScriptedUpstream) -> Self {
        Self(TcpStream::connect(upstream.address()).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything up to the end of the connection, and whether it broke.
    async fn read_all(&mut self) -> (String, bool) {
        let mut bytes = Vec::new();
        let end = self.0.read_to_end(&mut bytes).await;
        let broke = end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
        (String::from_utf8_lossy(&bytes).into_owned(), broke)
    }

    async fn read_until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            assert_ne!(
                self.0.read_buf(&mut bytes).await.unwrap(),
                0,
                "the connection ended"
            );
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// What a script sends to a peer that asks once.
async fn played(script: Script) -> (String, bool) {
    let expected = String::from_utf8_lossy(&script.to_bytes()).into_owned();
    let upstream = ScriptedUpstream::always(script).await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(&GET.replace("Host", "Connection: close\r\nHost")).await;
    let (text, broke) = peer.read_all().await;
    if !broke {
        assert_eq!(text, expected, "to_bytes tells what is sent");
    }
    (text, broke)
}

#[tokio::test]
async fn a_json_answer_has_its_length_and_the_connection_is_kept() {
    let upstream = ScriptedUpstream::sequence([
        Script::json(200, r#"{"a":1}"#).with_header("x-one", "1"),
        Script::empty(204),
        Script::json(429, "{}").with_header("retry-after", "3"),
    ])
    .await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    let first = peer.read_until("}").await;
    assert_eq!(
        first,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-one: 1\r\ncontent-length: 7\r\n\r\n{\"a\":1}"
    );
    peer.send(GET).await;
    assert_eq!(
        peer.read_until("\r\n\r\n").await,
        "HTTP/1.1 204 No Content\r\n\r\n"
    );
    // The last one repeats.
    for _ in 0..2 {
        peer.send(GET).await;
        let last = peer.read_until("{}").await;
        assert!(last.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{last}");
        assert!(last.contains("\r\nretry-after: 3\r\n"), "{last}");
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.requests().len(), 4);
    assert_eq!(upstream.url(), format!("http://{}", upstream.address()));
}

#[tokio::test]
async fn a_request_is_kept_as_it_was_sent() {
    let upstream = ScriptedUpstream::start(|request| {
        Script::json(200, format!("{} {}", request.method, request.json()["model"]))
    })
    .await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send("POST /v1/chat?x=1 HTTP/1.1\r\nX-Two: b\r\nx-two:c\r\nContent-Length: 13\r\n\r\n")
        .await;
    peer.send(r#"{"model":"m"}"#).await;
    assert!(peer.read_until("\"m\"").await.ends_with("POST \"m\""));
    assert!(upstream.has_untaken());
    let request = upstream.next_request().await;
    assert!(!upstream.has_untaken());
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/v1/chat?x=1")
    );
    assert_eq!(request.header("x-TWO"), Some("b"));
    assert_eq!(request.header_values("x-two").collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(request.header("absent"), None);
    assert_eq!(request.text(), r#"{"model":"m"}"#);
    assert_eq!(
        request.headers[0],
        ("X-Two".to_owned(), "b".to_owned()),
        "case as sent"
    );

    // A body in chunks, whose client waits to be asked for it, with another request behind it.
    peer.send("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(peer.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    peer.send("5;x=y\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n").await;
    peer.send(GET).await;
    let put = upstream.next_request().await;
    assert_eq!((put.method.as_str(), put.json()["a"].as_u64()), ("PUT", Some(1)));
    let get = upstream.next_request().await;
    assert_eq!(
        (get.path.as_str(), get.json().is_null()),
        ("/v1/models?limit=5", true)
    );
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    for script in [Script::json(200, "{}"), Script::sse(["x"])] {
        let upstream = ScriptedUpstream::always(script).await;
        let mut peer = Peer::connect(&upstream).await;
        for _ in 0..2 {
            peer.send("HEAD / HTTP/1.1\r\n\r\n").await;
            peer.read_until("\r\n\r\n").await;
        }
        peer.send("HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        let (text, broke) = peer.read_all().await;
        assert!(text.ends_with("\r\n\r\n") && !broke, "{text}");
    }
}

#[tokio::test]
async fn a_stream_sends_each_event_in_a_chunk_and_ends_properly() {
    let (text, broke) = played(Script::sse(["{}", "a\nb"]).send(": hi\n\n")).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
    );
    let expected = "a\r\ndata: {}\n\n\r\n11\r\ndata: a\ndata: b\n\n\r\n6\r\n: hi\n\n\r\n0\r\n\r\n";
    assert_eq!(body, expected);
    assert!(!broke);
}

#[tokio::test]
async fn drips_are_chunks_of_their_own() {
    let (text, _) = played(Script::chunked(200, "text/event-stream").drip("äb", 1)).await;
    // Two bytes of the first letter apart: no text can show them.
    assert!(
        text.ends_with("1\r\n\u{fffd}\r\n1\r\n\u{fffd}\r\n1\r\nb\r\n0\r\n\r\n"),
        "{text:?}"
    );
    let (text, _) = played(Script::until_close(200, "text/plain").drip("abc", 0)).await;
    assert!(text.ends_with("connection: close\r\n\r\nabc"), "{text:?}");
}

#[tokio::test]
async fn empty_html_redirect_and_wrong_length() {
    let (text, _) = played(Script::empty(200)).await;
    assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let (text, _) = played(Script::html(502, "<html>")).await;
    assert!(
        text.starts_with("HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html"),
        "{text}"
    );
    let (text, _) = played(Script::redirect(307, "http://elsewhere/")).await;
    assert!(text.contains("\r\nlocation: http://elsewhere/\r\n"), "{text}");
    let (text, broke) = played(Script::json(200, "{}").wrong_length(9)).await;
    assert!(text.ends_with("content-length: 9\r\n\r\n{}") && !broke, "{text}");
    // Raw bytes get a head, which then lies.
    let (text, _) = played(Script::new().send("z").wrong_length(9)).await;
    assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nz");
    let (text, _) = played(Script::new().with_header("x", "y").send("z")).await;
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n"
    );
    let (text, _) = played(
        Script::json(200, "{}")
            .with_header("Content-Type", "a/b")
            .add_header("content-length", "2"),
    )
    .await;
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\ncontent-length: 2\r\n\r\n{}"
    );
}

#[tokio::test]
async fn a_wrong_length_ends_the_connection_though_it_could_be_kept() {
    let upstream = ScriptedUpstream::always(Script::json(200, "{}").wrong_length(9)).await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    assert!(!peer.read_all().await.1);
}

#[tokio::test]
async fn a_cut_is_an_end_and_a_reset_is_a_break_at_every_byte() {
    let script = Script::json(200, r#"{"a":1}"#);
    let whole = String::from_utf8(script.to_bytes()).unwrap();
    for at in [0, 1, 20, whole.len() - 1] {
        let (text, broke) = played(script.clone().cut_after(at)).await;
        assert_eq!((text.as_str(), broke), (&whole[..at], false));
        let (_, broke) = played(script.clone().reset_after(at)).await;
        assert!(broke, "at {at}");
    }
    assert!(played(Script::new().reset()).await.1);
    assert_eq!(played(Script::new().cut()).await, (String::new(), false));
    assert_eq!(played(Script::new()).await, (String::new(), false));
    let (text, broke) = played(Script::sse(["x"]).cut()).await;
    assert!(
        text.ends_with("data: x\n\n\r\n") && !broke,
        "no last chunk: {text:?}"
    );
}

#[tokio::test]
async fn an_idle_connection_is_reset_as_it_is_used_again() {
    let upstream = ScriptedUpstream::always(Script::json(200, "{}").wait_for_bytes().reset()).await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    peer.read_until("{}").await;
    peer.send(GET).await;
    assert_eq!(peer.read_all().await, (String::new(), true));
    assert_eq!(upstream.requests().len(), 1, "the second one was not read");
}

#[tokio::test]
async fn a_gate_holds_back_and_lets_through() {
    let gate = Gate::default();
    assert_eq!(format!("{gate:?}"), "Gate(closed)");
    let upstream = ScriptedUpstream::always(Script::sse(["1"]).wait(&gate).event("2")).await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    assert!(
        peer.read_until("data: 1\n\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
    gate.open();
    assert!(gate.is_open());
    assert_eq!(
        peer.read_until("0\r\n\r\n").await,
        "9\r\ndata: 2\n\n\r\n0\r\n\r\n"
    );
    // Open for good, and after the answer to an earlier step.
    let upstream = ScriptedUpstream::always(
        Script::new()
            .wait(&gate)
            .then(Script::json(200, "{}").cut_after(9)),
    )
    .await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    assert_eq!(peer.read_all().await.0, "HTTP/1.1 ");
}

#[tokio::test]
async fn the_end_of_a_peer_is_told_once_where_a_script_waits() {
    let gate = Gate::new();
    for script in [
        Script::new().stall(),
        Script::sse(["1"]).stall(),
        Script::sse(["1"]).stall_after(3),
        Script::new().wait(&gate),
        Script::json(200, "{}").wait_for_bytes(),
    ] {
        let upstream = ScriptedUpstream::always(script).await;
        let mut peer = Peer::connect(&upstream).await;
        peer.send(GET).await;
        upstream.next_request().await;
        drop(peer);
        upstream.closed().await;
        let more = upstream.closed();
        tokio::select! {
            biased;
            () = more => panic!("told twice"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn a_peer_that_goes_in_the_middle_of_a_body_is_told_too() {
    let upstream =
        ScriptedUpstream::always(Script::until_close(200, "a/b").send_times([b'x'; 1024], 32 << 10)).await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    upstream.next_request().await;
    drop(peer);
    upstream.closed().await;
}

#[tokio::test]
async fn an_upstream_stops_when_dropped() {
    let upstream = ScriptedUpstream::always(Script::new().stall()).await;
    let address = upstream.address();
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    upstream.next_request().await;
    drop(upstream);
    assert_eq!(peer.read_all().await.0, "");
    assert!(TcpStream::connect(address).await.is_err());
    let nothing = ScriptedUpstream::sequence([]).await;
    let mut peer = Peer::connect(&nothing).await;
    peer.send(GET).await;
    assert_eq!(peer.read_all().await, (String::new(), false));
}

#[test]
fn a_script_is_shown_in_words() {
    let script = Script::sse(["x"])
        .drip("abc", 2)
        .wait(&Gate::new())
        .wait_for_bytes()
        .stall()
        .cut()
        .reset()
        .send_times("z", 3)
        .reset_after(9);
    assert_eq!(
        format!("{script:?}"),
        r#"Script[head 200 Chunked, send 9 bytes "data: x\n\n", send 3 bytes "abc" in pieces of 2, wait for Gate(closed), wait for bytes, stall, cut, reset, send 1 bytes "z" 3 times; reset after 9 bytes]"#
    );
}

#[test]
fn a_received_request_is_compared_whole() {
    fn same<T: Eq + Clone + Send + Sync>() {}
    same::<Received>();
}

/// An upstream whose script panics at the first request, and a peer that has been told.
async fn panicked() -> ScriptedUpstream {
    let upstream = ScriptedUpstream::start(|request| {
        assert_eq!(request.method, "POST", "the script's own assertion");
        Script::empty(200)
    })
    .await;
    let mut peer = Peer::connect(&upstream).await;
    peer.send(GET).await;
    assert_eq!(peer.read_all().await, (String::new(), false));
    upstream
}

#[tokio::test]
#[should_panic(expected = "the script's own assertion")]
async fn a_panic_of_the_script_goes_on_in_requests() {
    panicked().await.requests();
}

#[tokio::test]
#[should_panic(expected = "the script's own assertion")]
async fn a_panic_of_the_script_goes_on_in_next_request() {
    panicked().await.next_request().await;
}

#[tokio::test]
#[should_panic(expected = "the script's own assertion")]
async fn a_panic_of_the_script_goes_on_in_closed() {
    panicked().await.closed().await;
}

#[tokio::test]
#[should_panic(expected = "the script's own assertion")]
async fn a_panic_of_the_script_wakes_who_waits() {
    let upstream = ScriptedUpstream::start(|_| panic!("the script's own assertion")).await;
    let mut peer = Peer::connect(&upstream).await;
    tokio::join!(upstream.closed(), peer.send(GET));
}

#[tokio::test]
#[should_panic(expected = "the script's own assertion")]
async fn a_panic_of_the_script_goes_on_when_the_upstream_is_dropped() {
    drop(panicked().await);
}

#[tokio::test]
#[should_panic(expected = "the test's own failure")]
async fn a_panic_of_the_script_is_no_second_one_of_a_test_that_fails() {
    let _upstream = panicked().await;
    panic!("the test's own failure");
}

#[tokio::test]
async fn a_panic_of_the_script_is_told_once() {
    let upstream = panicked().await;
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| upstream.requests()));
    assert!(told.is_err());
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_request_whose_end_nobody_can_tell_closes_the_connection() {
    let chunked = |body: &str| format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let upstream = ScriptedUpstream::always(Script::json(200, "{}")).await;
    for request in [
        chunked("ffffffffffffffff\r\nabc\r\n"),
        chunked("fffffffffffffffd\r\nabc\r\n"),
        chunked("fffffffffffffffff\r\nabc\r\n"),
        chunked("1\r\na\r\nffffffffffffffff\r\nabc\r\n"),
        chunked("many\r\nabc\r\n"),
        chunked("-1\r\nabc\r\n"),
        chunked("\r\nabc\r\n"),
        chunked("2\r\nabc\r\n0\r\n\r\n"),
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nabc".to_owned(),
        "POST / HTTP/1.1\r\nContent-Length: many\r\n\r\nabc".to_owned(),
    ] {
        let mut peer = Peer::connect(&upstream).await;
        peer.send(&request).await;
        assert_eq!(peer.read_all().await, (String::new(), false), "{request:?}");
    }
    assert!(upstream.requests().is_empty());
}

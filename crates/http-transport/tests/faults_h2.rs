//! HTTP/2 over TLS: streams and connections that a server ends, the fault F57.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod secure;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{attempts, let_time_pass, phase, settle};
use futures_util::StreamExt;
use h2::Reason;
use h2::server::SendResponse;
use http_transport::retry::{Retrier, RetryPolicy};
use http_transport::{Phase, Request, Timeouts, Transport, TransportError};
use integration_core::{Delivery, Error, ErrorKind, ManualClock};
use secure::{Authority, endpoint, serve, trusting};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What a server does with a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    /// Resets the stream without an answer.
    Reset(Reason),
    /// Begins an event stream, then resets it.
    ResetAfter(&'static str, Reason),
    /// Answers, then says that it takes no more streams.
    AnswerAndGoAway,
    /// Sends this many events, each in a frame of its own, and then nothing.
    Events(usize),
    /// Sends as much as it may.
    Flood,
}

struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    /// Bytes of floods.
    sent: Arc<AtomicUsize>,
    transport: Transport,
    clock: ManualClock,
}

impl Server {
    /// Does the acts in turn; the last one repeats.
    async fn new(acts: &'static [Act]) -> Self {
        Self::allowing(100, acts).await
    }

    /// Allows so many streams on a connection.
    async fn allowing(streams: u32, acts: &'static [Act]) -> Self {
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, connected) = (Arc::clone(&requests), Arc::clone(&connections));
        let sent = Arc::new(AtomicUsize::new(0));
        let flooded = Arc::clone(&sent);
        let authority = Authority::new();
        let mut settings = authority.server("localhost", |_| {});
        settings.alpn_protocols = vec![b"h2".to_vec()];
        let address = serve(settings, move |_, stream| {
            connected.fetch_add(1, Ordering::SeqCst);
            play(stream, streams, acts, Arc::clone(&counted), Arc::clone(&flooded))
        })
        .await;
        let clock = ManualClock::new();
        Self {
            address,
            requests,
            connections,
            sent,
            transport: trusting(&authority, &clock),
            clock,
        }
    }

    fn request(&self) -> Request {
        Request::post(endpoint("localhost", self.address), "{}")
    }

    async fn call(&self) -> Result<Bytes, TransportError> {
        self.transport.send(self.request(), None).await?.bytes().await
    }

    fn seen(&self) -> (usize, usize) {
        (
            self.requests.load(Ordering::SeqCst),
            self.connections.load(Ordering::SeqCst),
        )
    }
}

async fn play(
    stream: TlsStream<TcpStream>,
    streams: u32,
    acts: &'static [Act],
    requests: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
) {
    let mut settings = h2::server::Builder::new();
    let handshake = settings.max_concurrent_streams(streams).handshake(stream);
    let mut connection = handshake.await.unwrap();
    while let Some(accepted) = connection.accept().await {
        let Ok((_, respond)) = accepted else { return };
        let at = requests.fetch_add(1, Ordering::SeqCst);
        let act = acts[at.min(acts.len() - 1)];
        act.play(respond, Arc::clone(&sent));
        if matches!(act, Act::AnswerAndGoAway) {
            connection.graceful_shutdown();
        }
    }
}

impl Act {
    fn play(self, mut respond: SendResponse<Bytes>, sent: Arc<AtomicUsize>) {
        let head = |kind| {
            http::Response::builder()
                .header("content-type", kind)
                .body(())
                .unwrap()
        };
        match self {
            Self::Answer | Self::AnswerAndGoAway => {
                let mut body = respond.send_response(head("application/json"), false).unwrap();
                body.send_data("ok".into(), true).unwrap();
            }
            Self::Reset(reason) => respond.send_reset(reason),
            Self::Flood => {
                let mut body = respond.send_response(head("text/event-stream"), false).unwrap();
                tokio::spawn(async move {
                    body.reserve_capacity(64 << 20);
                    while let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await {
                        body.send_data(vec![b'\n'; room].into(), false).unwrap();
                        sent.fetch_add(room, Ordering::SeqCst);
                        body.reserve_capacity(64 << 20);
                    }
                });
            }
            Self::Events(count) => {
                let mut body = respond.send_response(head("text/event-stream"), false).unwrap();
                for _ in 0..count {
                    body.send_data("data: x\n\n".into(), false).unwrap();
                }
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(body);
                });
            }
            Self::ResetAfter(text, reason) => {
                let mut body = respond.send_response(head("text/event-stream"), false).unwrap();
                body.send_data(text.into(), false).unwrap();
                tokio::spawn(async move {
                    // Once what was sent has left.
                    settle().await;
                    body.send_reset(reason);
                });
            }
        }
    }
}

/// A request over what the server allows would wait for another's end, unseen, until it is given up.
#[tokio::test]
async fn a_full_connection_is_not_waited_for() {
    let server = Server::allowing(2, &[Act::Events(1)]).await;
    let mut open = Vec::new();
    for calls in 1..=5_usize {
        let answer = server.transport.send(server.request(), None).await.unwrap();
        let mut events = answer.events();
        assert_eq!(events.next().await.unwrap().unwrap().text(), "x");
        open.push(events);
        assert_eq!(server.seen(), (calls, calls.div_ceil(2)));
    }
    // A stream that is over makes room.
    open.truncate(3);
    settle().await;
    assert!(server.transport.send(server.request(), None).await.is_ok());
    assert_eq!(server.seen(), (6, 3));
}

/// Readers that stop keep their own streams full, and nobody else's.
#[tokio::test]
async fn readers_that_stop_do_not_stop_the_others() {
    const FLOODS: usize = 40;
    static ACTS: [Act; FLOODS + 1] = {
        let mut acts = [Act::Flood; FLOODS + 1];
        acts[FLOODS] = Act::Answer;
        acts
    };
    let server = Server::new(&ACTS).await;
    let mut unread = Vec::new();
    for _ in 0..FLOODS {
        unread.push(server.transport.send(server.request(), None).await.unwrap());
    }
    settle().await;
    assert_eq!(&server.call().await.unwrap()[..], b"ok");
    assert_eq!(server.seen(), (FLOODS + 1, 1));
}

#[tokio::test]
async fn requests_share_a_connection() {
    let server = Server::new(&[Act::Answer]).await;
    for _ in 0..3 {
        assert_eq!(&server.call().await.unwrap()[..], b"ok");
    }
    let both = futures_util::future::join(server.call(), server.call()).await;
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(server.seen(), (5, 1));
}

#[tokio::test]
async fn what_has_arrived_already_does_not_outrun_a_deadline() {
    let server = Server::new(&[Act::Events(100)]).await;
    let request = server
        .request()
        .with_timeouts(Timeouts::default().with_total(Duration::from_secs(60)));
    let mut events = server.transport.send(request, None).await.unwrap().events();
    events.next().await.unwrap().unwrap();
    events.content_arrived();
    // All hundred are here: reading them never has to wait, and so never meets the timer.
    settle().await;
    server.clock.advance(Duration::from_secs(60));
    let mut late = 0;
    let error = loop {
        match events.next().await.unwrap() {
            Ok(_) => late += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(phase(&error), (Phase::Total, Delivery::Partial));
    assert!(late < 8, "{late}");
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_server() {
    let server = Server::new(&[Act::Flood]).await;
    let mut events = server
        .transport
        .send(server.request(), None)
        .await
        .unwrap()
        .events();
    settle().await;
    assert_eq!(server.sent.load(Ordering::SeqCst), 64 << 10);
    // Reading on lets it go on.
    let reading = tokio::spawn(async move { events.next().await });
    settle().await;
    assert!(server.sent.load(Ordering::SeqCst) > 1 << 20);
    reading.abort();
}

#[tokio::test]
async fn f57_after_goaway_the_next_request_takes_a_new_connection() {
    let server = Server::new(&[Act::AnswerAndGoAway, Act::Answer]).await;
    for _ in 0..3 {
        // The one that was under way is answered all the same.
        assert_eq!(&server.call().await.unwrap()[..], b"ok");
        settle().await;
    }
    assert_eq!(server.seen(), (3, 2));
}

#[tokio::test]
async fn f57_a_refused_stream_was_not_processed_and_every_attempt_is_seen() {
    let server = Server::new(&[Act::Reset(Reason::REFUSED_STREAM)]).await;
    let error = server.call().await.unwrap_err();
    // The HTTP library would send it again by itself, twice and unseen; it is told not to.
    assert_eq!(server.seen().0, 1);
    let not_sent = Delivery::NotSent;
    assert!(
        matches!(&error, TransportError::Broken { delivery, .. } if *delivery == not_sent),
        "{error:?}"
    );
    assert_eq!(attempts(error, RetryPolicy::None), 1);
}

#[tokio::test]
async fn f57_a_refused_stream_is_retried_within_the_rules() {
    let server = Server::new(&[
        Act::Reset(Reason::REFUSED_STREAM),
        Act::Reset(Reason::REFUSED_STREAM),
        Act::Answer,
    ])
    .await;
    let retrier = Retrier::new(RetryPolicy::standard());
    let (transport, request, clock) = (server.transport.clone(), server.request(), server.clock.clone());
    let task = tokio::spawn(async move {
        let attempt = |_| async { Ok(transport.send(request.clone(), None).await?.bytes().await?) };
        retrier.run(&clock, None, attempt).await
    });
    assert_eq!(&let_time_pass(&server.clock, task).await.unwrap()[..], b"ok");
    assert_eq!(server.seen(), (3, 1));
}

#[tokio::test]
async fn f57_any_other_reset_may_have_been_billed() {
    for reason in [
        Reason::INTERNAL_ERROR,
        Reason::CANCEL,
        Reason::NO_ERROR,
        Reason::ENHANCE_YOUR_CALM,
    ] {
        let acts: &'static [Act] = Box::leak(Box::new([Act::Reset(reason)]));
        let server = Server::new(acts).await;
        let error = server.call().await.unwrap_err();
        let maybe_sent = Delivery::MaybeSent;
        assert!(
            matches!(&error, TransportError::Broken { delivery, .. } if *delivery == maybe_sent),
            "{reason:?}: {error:?}"
        );
        assert_eq!(attempts(error, RetryPolicy::standard()), 1);
        assert_eq!(server.seen().0, 1);
    }
}

#[tokio::test]
async fn f57_a_reset_in_the_middle_of_an_answer_is_part_of_an_answer() {
    for reason in [Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM, Reason::CANCEL] {
        let acts: &'static [Act] = Box::leak(Box::new([Act::ResetAfter("data: 1\n\ndata: 2\n", reason)]));
        let server = Server::new(acts).await;
        let mut events = server
            .transport
            .send(server.request(), None)
            .await
            .unwrap()
            .events();
        assert_eq!(events.next().await.unwrap().unwrap().text(), "1");
        let error = events.next().await.unwrap().unwrap_err();
        let error = Error::from(error);
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Truncated, Delivery::Partial),
            "{reason:?}"
        );
        assert!(events.next().await.is_none());
        assert_eq!(server.seen(), (1, 1));
    }
}

/// The kinds of frames that matter here.
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads frames until a request has come.
async fn read_request(stream: &mut TlsStream<TcpStream>) {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            return;
        }
    }
}

/// Reads a request and then closes with GOAWAY, naming the last stream it may have processed.
async fn goes_away(last_stream: u32, reason: Reason) -> TransportError {
    let authority = Authority::new();
    let mut settings = authority.server("localhost", |_| {});
    settings.alpn_protocols = vec![b"h2".to_vec()];
    let address = serve(settings, move |_, mut stream| async move {
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        read_request(&mut stream).await;
        let mut payload = last_stream.to_be_bytes().to_vec();
        payload.extend(u32::from(reason).to_be_bytes());
        stream.write_all(&frame(GOAWAY, 0, 0, &payload)).await.unwrap();
        let _ = stream.shutdown().await;
    })
    .await;
    let request = Request::post(endpoint("localhost", address), "{}");
    let transport = trusting(&authority, &ManualClock::new());
    transport.send(request, None).await.unwrap_err()
}

#[tokio::test]
async fn f57_goaway_tells_whether_a_request_was_processed() {
    // The first request of a connection has the number 1.
    let error = goes_away(0, Reason::NO_ERROR).await;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    assert_eq!(attempts(error, RetryPolicy::standard()), 3);
    // It may have been at work on this one.
    for (last, reason) in [(1, Reason::NO_ERROR), (1, Reason::INTERNAL_ERROR)] {
        let error = goes_away(last, reason).await;
        assert_eq!(error.delivery(), Delivery::MaybeSent, "{error:?}");
        assert_eq!(attempts(error, RetryPolicy::standard()), 1);
    }
}

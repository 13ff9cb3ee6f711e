//! How much memory a stream takes. Counted are this thread's own allocations; the server runs on another.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocation_counter::measure;
use bytes::Bytes;
use common::endpoint;
use futures_util::StreamExt;
use http_transport::sse::{SseDecoder, SseError, SseLimits};
use http_transport::{Limits, Request, Transport, TransportConfig};
use integration_core::ManualClock;

/// 64 KiB.
const PIECE: usize = 1 << 16;

/// How a server sends its events.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    /// One when the one before has been read, as a model does that is slower than its reader.
    OneByOne,
    /// As fast as they are taken.
    Flood,
}

/// Serves every request with an event stream, in chunks of one event. `read`: how many the client has read.
fn serve(event: Vec<u8>, count: usize, pace: Pace, read: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let mut request = [0; 4096];
        while socket.read(&mut request).unwrap_or(0) > 0 {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut chunk = format!("{:x}\r\n", event.len()).into_bytes();
            chunk.extend_from_slice(&event);
            chunk.extend_from_slice(b"\r\n");
            let mut sent = socket.write_all(head.as_bytes()).is_ok();
            for number in 0..count {
                while pace == Pace::OneByOne && read.load(Ordering::Acquire) < number {
                    std::thread::yield_now();
                }
                sent = sent && socket.write_all(&chunk).is_ok();
            }
            let _ = sent && socket.write_all(b"0\r\n\r\n").is_ok();
        }
    });
    address
}

/// Reads a whole stream twice and measures the second time, when the connection is there already. The most bytes held.
fn read_stream(event: usize, count: usize, pace: Pace, limits: SseLimits) -> usize {
    let event = format!("data: {}\n\n", "x".repeat(event)).into_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let to = endpoint(&format!(
        "http://{}",
        serve(event, count, pace, Arc::clone(&seen))
    ));
    let limits = Limits::default().with_sse(limits.with_total(1 << 40));
    let config = TransportConfig::default().with_limits(limits);
    let transport = Transport::new(config, Arc::new(ManualClock::new())).unwrap();
    let read = || async {
        seen.store(0, Ordering::Release);
        let answer = transport.send(Request::get(to.clone()), None).await.unwrap();
        let mut events = answer.events();
        while let Some(event) = events.next().await {
            event.unwrap();
            seen.fetch_add(1, Ordering::Release);
        }
    };
    runtime.block_on(read());
    let info = measure(|| runtime.block_on(read()));
    assert_eq!(seen.load(Ordering::Acquire), count);
    info.bytes_max as usize
}

#[test]
fn a_stream_takes_64_kib_however_long_it_is_and_however_fast() {
    for pace in [Pace::OneByOne, Pace::Flood] {
        let read = |count| read_stream(250, count, pace, SseLimits::default());
        let (short, long) = (read(1_000), read(60_000));
        println!("alloc: bytes of a stream of 60,000 events of 250 bytes ({pace:?}) {long}");
        assert!(long <= PIECE && short <= PIECE, "{pace:?}: {short} {long}");
    }
}

/// Room for a long line is taken at once, up to the limit; what is not filled of it costs addresses but no memory. So with a
/// limit of just the longest event it is seen that no more is held.
#[test]
fn a_stream_takes_64_kib_and_its_longest_event() {
    for event in [1_000, 10_000, 30_000, 60_000, 250_000, 900_000] {
        for pace in [Pace::OneByOne, Pace::Flood] {
            let just = SseLimits::default().with_line(event + 6);
            let held = read_stream(event, 50, pace, just);
            println!("alloc: bytes of a stream of events of {event} bytes ({pace:?}) {held}");
            assert!(held <= PIECE + event, "{event} {pace:?}: {held}");
            let held = read_stream(event, 50, pace, SseLimits::default());
            assert!(
                held <= PIECE + SseLimits::default().line,
                "{event} {pace:?}: {held}"
            );
        }
    }
}

/// The most bytes that decoding takes, apart from the pieces themselves.
fn decode(limits: SseLimits, pieces: impl IntoIterator<Item = &'static [u8]>) -> (usize, Option<SseError>) {
    let mut failed = None;
    let pieces = pieces.into_iter();
    let info = measure(|| {
        let mut decoder = SseDecoder::new(limits);
        for piece in pieces {
            decoder.feed(Bytes::from_static(piece));
            loop {
                match decoder.next_event() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
    });
    assert_eq!(info.bytes_current, 0);
    (info.bytes_max as usize, failed)
}

static XS: [u8; PIECE] = [b'x'; PIECE];
static COMMENTS: &[u8; 4096] = &{
    let mut bytes = [b'\n'; 4096];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b':';
        bytes[at + 1] = b'c';
        at += 4;
    }
    bytes
};

#[test]
fn f23_a_line_without_end_takes_no_more_than_its_limit_and_one_piece() {
    for limit in [1 << 20, 4 << 20, 100_000, 1_000] {
        let limits = SseLimits::default().with_line(limit);
        let (held, failed) = decode(limits, std::iter::repeat_n(&XS[..], limit / PIECE + 2));
        assert_eq!(failed, Some(SseError::LineTooLong { limit }));
        assert!(held <= limit + limit / 16 + PIECE, "{limit}: {held}");
    }
    // In single bytes as well.
    let (held, failed) = decode(SseLimits::default(), std::iter::repeat_n(&XS[..1], (1 << 20) + 1));
    assert!(failed.is_some());
    assert!(held <= (1 << 20) + PIECE * 2, "{held}");
}

#[test]
fn f23_an_event_without_end_takes_no_more_than_its_limit_and_one_piece() {
    let limit = SseLimits::default().event;
    let line: &[u8] = Box::leak([b"data: ", &XS[..], b"\n"].concat().into_boxed_slice());
    let (held, failed) = decode(SseLimits::default(), std::iter::repeat_n(line, limit / PIECE + 2));
    assert_eq!(failed, Some(SseError::EventTooLarge { limit }));
    // The line that is being read comes on top.
    let line = SseLimits::default().line;
    assert!(held <= limit + limit / 16 + line + PIECE, "{held}");
}

#[test]
fn input_63_a_hundred_megabytes_without_a_line_end_cost_one_line() {
    let limit = SseLimits::default().line;
    let (held, failed) = decode(SseLimits::default(), std::iter::repeat_n(&XS[..], 100 << 4));
    assert_eq!(failed, Some(SseError::LineTooLong { limit }));
    // What comes after the failure is not kept.
    assert!(held <= limit + limit / 16 + PIECE, "{held}");
}

#[test]
fn input_64_a_flood_of_comments_takes_no_memory_and_has_an_end() {
    let total = 8 << 20;
    let (held, failed) = decode(
        SseLimits::default().with_total(total),
        std::iter::repeat_n(&COMMENTS[..], total as usize / COMMENTS.len() + 1),
    );
    assert_eq!(failed, Some(SseError::StreamTooLong { limit: total }));
    assert!(held <= 1024, "{held}");
}

#[test]
fn a_long_event_leaves_nothing_behind() {
    let long: &[u8] = Box::leak(
        [b"data: ", &[b'x'; 900_000][..], b"\n\n"]
            .concat()
            .into_boxed_slice(),
    );
    let halves = long.split_at(500_000);
    let mut decoder = SseDecoder::default();
    let mut events = Vec::with_capacity(4);
    let info = measure(|| {
        for piece in [halves.0, halves.1, b"data: 1\n\n"] {
            decoder.feed(Bytes::from_static(piece));
            while let Some(event) = decoder.next_event().unwrap() {
                events.push(event);
            }
        }
        assert_eq!(events.len(), 2);
        events.clear();
    });
    assert!(info.bytes_current < 256, "{}", info.bytes_current);
    assert!(info.bytes_max <= (1 << 20) + 600_000, "{}", info.bytes_max);
}

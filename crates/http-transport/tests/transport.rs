//! The client against a server of raw bytes. Time is told by hand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http_transport::sse::{SseError, SseLimits};
use http_transport::{
    Endpoint, HeaderName, HeaderValue, Limits, Phase, Request, SystemClock, Timeouts, Transport,
    TransportConfig, TransportError, bearer,
};
use integration_core::{Clock, Delivery, ErrorKind, ManualClock, Secret};
use support::{answer, closed, serve};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

const SSE_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream\r\n\r\n";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn transport(clock: &ManualClock) -> Transport {
    Transport::new(TransportConfig::default(), Arc::new(clock.clone())).unwrap()
}

fn to(address: std::net::SocketAddr) -> Endpoint {
    Endpoint::new(&format!("http://{address}/x?key=hunter2")).unwrap()
}

fn phase(error: &TransportError) -> (Phase, Delivery) {
    match error {
        TransportError::Deadline { phase, delivery } => (*phase, *delivery),
        other => panic!("{other:?}"),
    }
}

/// Lets everything that can happen without time happen, then the time, until the task is done.
async fn let_time_pass<T>(clock: &ManualClock, task: tokio::task::JoinHandle<T>) -> T {
    while !task.is_finished() {
        tokio::task::yield_now().await;
        if clock.pending() > 0 {
            clock.advance_to_next();
        }
    }
    task.await.unwrap()
}

#[tokio::test]
async fn sends_and_reads() {
    let address = serve(|socket, request| async move {
        let ok = request.starts_with("POST /x/y?key=hunter2 HTTP/1.1\r\n")
            && request.contains("authorization: Bearer k\r\n")
            && request.contains("user-agent: waypost/")
            && request.ends_with("\r\n\r\n{}")
            && !request.contains("accept-encoding");
        answer(
            socket,
            &format!("HTTP/1.1 299 x\r\ncontent-length: 5\r\nX-A: b\r\n\r\n {ok}"),
        )
        .await;
    })
    .await;
    let transport = Transport::new(TransportConfig::default(), Arc::new(SystemClock)).unwrap();
    let request = Request::post(to(address).join("y", None), "{}").with_header(
        HeaderName::from_static("authorization"),
        bearer(&Secret::new("k").unwrap()).unwrap(),
    );
    assert!(!format!("{request:?}").contains("Bearer"));
    assert!(!format!("{request:?} {transport:?}").contains("hunter2"));
    let response = transport.send(request, None).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.header("x-a")),
        (299, Some("b"))
    );
    assert!(!response.is_event_stream());
    assert!(format!("{response:?}").contains("299"));
    assert_eq!(&response.bytes().await.unwrap()[..], b" true");
}

#[tokio::test]
async fn redirects_are_answers() {
    let address = serve(|socket, _| answer_302(socket)).await;
    async fn answer_302(socket: tokio::net::TcpStream) {
        answer(
            socket,
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
    }
    let clock = ManualClock::new();
    let response = transport(&clock)
        .send(Request::get(to(address)), None)
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 302);
}

#[tokio::test]
async fn a_closed_port_is_told_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = transport(&ManualClock::new())
        .send(Request::get(to(address)), None)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("cannot connect to {address}: ")),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = integration_core::Error::from(error);
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Transport, Delivery::NotSent)
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let address = serve(move |socket, _| {
        let heard = heard.clone();
        async move {
            heard.send(()).unwrap();
            closed(socket).await;
            heard.send(()).unwrap();
        }
    })
    .await;
    let clock = ManualClock::new();
    let transport = transport(&clock);
    let task =
        tokio::spawn(async move { transport.send(Request::get(to(address)), None).await.unwrap_err() });
    hears.recv().await.unwrap();
    clock.advance(secs(119));
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    clock.advance(secs(1));
    let error = task.await.unwrap();
    assert_eq!(phase(&error), (Phase::FirstByte, Delivery::MaybeSent));
    // Giving up closes the connection.
    hears.recv().await.unwrap();
}

#[tokio::test]
async fn the_callers_deadline_holds() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let address = serve(move |socket, _| {
        heard.send(()).unwrap();
        closed(socket)
    })
    .await;
    let clock = ManualClock::new();
    let (shared, deadline) = (transport(&clock), clock.now() + secs(3));
    let sender = shared.clone();
    let task = tokio::spawn(async move { sender.send(Request::get(to(address)), Some(deadline)).await });
    hears.recv().await.unwrap();
    clock.advance(secs(3));
    assert_eq!(
        phase(&task.await.unwrap().unwrap_err()),
        (Phase::Caller, Delivery::MaybeSent)
    );
    let error = shared
        .send(Request::get(to(address)), Some(deadline))
        .await
        .unwrap_err();
    assert_eq!(phase(&error), (Phase::Caller, Delivery::NotSent));
    let error = integration_core::Error::from(error);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, Some("caller")));
}

#[tokio::test]
async fn a_handshake_that_hangs_is_a_connection_that_hangs() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let clock = ManualClock::new();
    let transport = transport(&clock);
    let task = tokio::spawn(async move { transport.send(Request::get(endpoint), None).await.unwrap_err() });
    let accepted = tokio::spawn(async move { listener.accept().await.unwrap() });
    match let_time_pass(&clock, task).await {
        // A machine without root certificates.
        TransportError::Config { message } => assert!(message.contains("root certificates"), "{message}"),
        error => {
            assert_eq!(phase(&error), (Phase::Connect, Delivery::NotSent));
            assert!(clock.requested_sleeps().contains(&secs(10)));
        }
    }
    accepted.abort();
}

#[tokio::test]
async fn white_space_is_no_content() {
    let address = serve(|mut socket, _| async move {
        let _ = socket
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        while socket.write_all(b"4\r\n\n  \n\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let clock = ManualClock::new();
    let response = transport(&clock)
        .send(Request::get(to(address)), None)
        .await
        .unwrap();
    clock.advance(secs(300));
    assert_eq!(
        phase(&response.bytes().await.unwrap_err()),
        (Phase::FirstContent, Delivery::Partial)
    );
}

#[tokio::test]
async fn comments_are_no_content_and_no_silence() {
    let (go, gone) = mpsc::unbounded_channel::<&'static str>();
    let gone = Arc::new(tokio::sync::Mutex::new(gone));
    let address = serve(move |mut socket, _| {
        let gone = Arc::clone(&gone);
        async move {
            let _ = socket.write_all(SSE_HEAD.as_bytes()).await;
            while let Some(text) = gone.lock().await.recv().await {
                let _ = socket.write_all(text.as_bytes()).await;
            }
        }
    })
    .await;
    let clock = ManualClock::new();
    let response = transport(&clock)
        .send(Request::get(to(address)), None)
        .await
        .unwrap();
    assert!(response.is_event_stream());
    let mut events = response.events();
    // An event that the reader does not take for content, then comments: each resets the pause, none the content.
    go.send("data: role\n\n").unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().text(), "role");
    let reader = tokio::spawn(async move { events.next().await.unwrap().unwrap_err() });
    let mut passed = 0;
    while !reader.is_finished() {
        go.send(": still here\n\n").unwrap();
        // Only once the comment has been read does the reader wait anew.
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(100));
        passed += 1;
    }
    assert_eq!(
        phase(&reader.await.unwrap()),
        (Phase::FirstContent, Delivery::Partial)
    );
    assert!(passed >= 3000, "{passed}");
}

#[tokio::test]
async fn a_pause_in_the_stream_is_given_up() {
    let address = serve(|mut socket, _| async move {
        let _ = socket
            .write_all(format!("{SSE_HEAD}data: 1\n\n").as_bytes())
            .await;
        closed(socket).await;
    })
    .await;
    let clock = ManualClock::new();
    let mut events = transport(&clock)
        .send(Request::get(to(address)), None)
        .await
        .unwrap()
        .events();
    assert_eq!(events.next().await.unwrap().unwrap().text(), "1");
    events.content_arrived();
    // The reader's own slowness is not the server's.
    clock.advance(secs(1000));
    let task = tokio::spawn(async move {
        (
            events.next().await.unwrap().unwrap_err(),
            events.next().await.is_none(),
        )
    });
    let (error, ended) = let_time_pass(&clock, task).await;
    assert_eq!((phase(&error), ended), ((Phase::Idle, Delivery::Partial), true));
    assert_eq!(clock.now() - (clock.now() - secs(1090)), secs(1090));
}

#[tokio::test]
async fn the_whole_call_has_its_limit() {
    let address = serve(|mut socket, _| async move {
        let _ = socket.write_all(SSE_HEAD.as_bytes()).await;
        while socket.write_all(b"data: x\n\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let clock = ManualClock::new();
    let request = Request::get(to(address)).with_timeouts(Timeouts::default().with_total(secs(60)));
    let mut events = transport(&clock).send(request, None).await.unwrap().events();
    events.content_arrived();
    let mut error = None;
    while error.is_none() {
        error = events.next().await.unwrap().err();
        clock.advance(Duration::from_millis(10));
    }
    assert_eq!(phase(&error.unwrap()), (Phase::Total, Delivery::Partial));
}

#[tokio::test]
async fn a_broken_body_is_a_truncated_answer() {
    let address = serve(|socket, _| async move {
        answer(socket, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":").await;
    })
    .await;
    let transport = transport(&ManualClock::new());
    let error = transport
        .send(Request::get(to(address)), None)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("the connection broke: "), "{error}");
    let error = integration_core::Error::from(error);
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Truncated, Delivery::Partial)
    );
    let mut events = transport
        .send(Request::get(to(address)), None)
        .await
        .unwrap()
        .events();
    assert!(events.next().await.unwrap().is_err());
    assert!(events.next().await.is_none());
    assert!(format!("{events:?}").contains("open: false"));
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer() {
    let address = serve(|socket, _| async move { drop(socket) }).await;
    let error = transport(&ManualClock::new())
        .send(Request::get(to(address)), None)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            TransportError::Broken {
                delivery: Delivery::MaybeSent,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(integration_core::Error::from(error).kind(), ErrorKind::Transport);
}

#[tokio::test]
async fn sizes_are_capped() {
    let address = serve(|socket, _| async move {
        let body = "x".repeat(2000);
        answer(
            socket,
            &format!("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{body}"),
        )
        .await;
    })
    .await;
    let limits = Limits::default()
        .with_body(1999)
        .with_sse(SseLimits::default().with_line(1999));
    let config = TransportConfig::default()
        .with_limits(limits)
        .with_user_agent("u");
    let transport = Transport::new(config, Arc::new(ManualClock::new())).unwrap();
    let error = transport
        .send(Request::get(to(address)), None)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { limit: 1999 }));
    assert_eq!(integration_core::Error::from(error).kind(), ErrorKind::Protocol);
    let mut events = transport
        .send(Request::get(to(address)), None)
        .await
        .unwrap()
        .events();
    let error = events.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Sse(SseError::LineTooLong { .. })));
    assert_eq!(error.delivery(), Delivery::Partial);
}

#[tokio::test]
async fn an_unfinished_event_and_the_end() {
    let address = serve(|socket, _| async move {
        answer(socket, &format!("{SSE_HEAD}data: 1\n\ndata: 2\n")).await;
    })
    .await;
    let mut events = transport(&ManualClock::new())
        .send(Request::get(to(address)), None)
        .await
        .unwrap()
        .events();
    assert_eq!(events.next().await.unwrap().unwrap().text(), "1");
    assert!(events.next().await.is_none());
    assert_eq!(events.take_unterminated().unwrap().text(), "2");
    assert!(events.take_unterminated().is_none());
}

#[tokio::test]
async fn a_stream_read_to_its_end_gives_its_connection_back() {
    let address = serve(|mut socket, _| async move {
        let body = "data: [DONE]\n\n";
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n");
        loop {
            let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            if support::read_request(&mut socket).await.is_none() {
                return;
            }
            // A second request on the same connection is answered with another status.
            let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let transport = transport(&ManualClock::new());
    let mut events = transport
        .send(Request::get(to(address)), None)
        .await
        .unwrap()
        .events();
    assert_eq!(events.next().await.unwrap().unwrap().text(), "[DONE]");
    std::future::poll_fn(|cx| {
        events.poll_close(cx);
        std::task::Poll::Ready(())
    })
    .await;
    assert!(events.next().await.is_none());
    drop(events);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let response = transport.send(Request::get(to(address)), None).await.unwrap();
    assert_eq!(response.status().as_u16(), 204);
}

#[test]
fn a_bad_setup_is_told() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let config = TransportConfig::default().with_proxy("http://user:hunter2@proxy:1");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(Transport::new(config, Arc::clone(&clock)).is_ok());
    let error = Transport::new(TransportConfig::default().with_proxy("::"), Arc::clone(&clock)).unwrap_err();
    assert_eq!(integration_core::Error::from(error).kind(), ErrorKind::Config);
    assert!(Transport::new(TransportConfig::default().with_user_agent("a\nb"), clock).is_err());
    assert_eq!(HeaderValue::from_static("x"), "x");
    let timeouts = Timeouts::default()
        .with_connect(secs(1))
        .with_first_byte(secs(2))
        .with_first_content(secs(3));
    let timeouts = timeouts.with_idle(secs(4)).with_total(secs(5));
    assert_eq!(
        TransportConfig::default().with_timeouts(timeouts).timeouts(),
        timeouts
    );
}

#[tokio::test]
async fn the_system_clock_runs() {
    let before = SystemClock.now();
    SystemClock.sleep(Duration::ZERO).await;
    assert!(SystemClock.now() >= before);
    assert!(SystemClock.wall() > std::time::SystemTime::UNIX_EPOCH);
}

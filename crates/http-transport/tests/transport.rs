//! The client against a server of raw bytes. Time is told by hand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{endpoint, events, get, let_time_pass, phase, secs, settle, transport, whole};
use futures_util::StreamExt;
use http_transport::sse::{SseError, SseLimits};
use http_transport::{
    HeaderName, HeaderValue, Limits, Phase, Request, SystemClock, Timeouts, Transport, TransportConfig,
    TransportError, bearer,
};
use integration_core::{Clock, Delivery, ErrorKind, ManualClock, Secret};
use provider_testkit::upstream::{Script, ScriptedUpstream};

#[tokio::test]
async fn sends_and_reads() {
    let script = Script::whole(299, "text/plain", " yes").with_header("X-A", "b");
    let server = ScriptedUpstream::always(script).await;
    let transport = Transport::new(TransportConfig::default(), Arc::new(SystemClock)).unwrap();
    let request = Request::post(endpoint(&server.url()).join("y", None), "{}").with_header(
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
    assert_eq!(&response.bytes().await.unwrap()[..], b" yes");

    let received = server.next_request().await;
    assert_eq!(
        (received.method.as_str(), received.path.as_str()),
        ("POST", "/x/y?key=hunter2")
    );
    assert_eq!(received.header("authorization"), Some("Bearer k"));
    assert!(received.header("user-agent").unwrap().starts_with("waypost/"));
    assert_eq!(received.text(), "{}");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = ScriptedUpstream::always(Script::new().stall()).await;
    let clock = ManualClock::new();
    let (transport, to) = (transport(&clock), endpoint(&server.url()));
    let task = tokio::spawn(async move { transport.send(Request::get(to), None).await.unwrap_err() });
    server.next_request().await;
    clock.advance(secs(119));
    settle().await;
    assert!(!task.is_finished());
    clock.advance(secs(1));
    let error = task.await.unwrap();
    assert_eq!(phase(&error), (Phase::FirstByte, Delivery::MaybeSent));
    // Giving up closes the connection.
    server.closed().await;
}

#[tokio::test]
async fn the_callers_deadline_holds() {
    let server = ScriptedUpstream::always(Script::new().stall()).await;
    let clock = ManualClock::new();
    let (shared, deadline, to) = (transport(&clock), clock.now() + secs(3), endpoint(&server.url()));
    let (sender, request) = (shared.clone(), Request::get(to.clone()));
    let task = tokio::spawn(async move { sender.send(request, Some(deadline)).await });
    server.next_request().await;
    clock.advance(secs(3));
    assert_eq!(
        phase(&task.await.unwrap().unwrap_err()),
        (Phase::Caller, Delivery::MaybeSent)
    );
    let error = shared.send(Request::get(to), Some(deadline)).await.unwrap_err();
    assert_eq!(phase(&error), (Phase::Caller, Delivery::NotSent));
    let error = integration_core::Error::from(error);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, Some("caller")));
}

#[tokio::test]
async fn white_space_is_no_content() {
    let server = ScriptedUpstream::always(
        Script::chunked(200, "application/json")
            .drip("\n  \n".repeat(50), 4)
            .stall(),
    )
    .await;
    let clock = ManualClock::new();
    let response = get(&transport(&clock), &server).await.unwrap();
    clock.advance(secs(300));
    assert_eq!(
        phase(&response.bytes().await.unwrap_err()),
        (Phase::FirstContent, Delivery::Partial)
    );
}

#[tokio::test]
async fn content_ends_the_wait_for_it() {
    for whole in [true, false] {
        for (text, expected) in [(" {", Phase::Idle), ("  ", Phase::FirstContent)] {
            let script = Script::chunked(200, "application/json").send(text).stall();
            let server = ScriptedUpstream::always(script).await;
            let clock = ManualClock::new();
            let timeouts = Timeouts::default().with_first_content(secs(50));
            let request = Request::get(endpoint(&server.url())).with_timeouts(timeouts);
            let answer = transport(&clock).send(request, None).await.unwrap();
            let reading = tokio::spawn(async move {
                if whole {
                    answer.bytes().await
                } else {
                    answer.beginning(512).await
                }
            });
            let error = let_time_pass(&clock, reading).await.unwrap_err();
            assert_eq!(phase(&error), (expected, Delivery::Partial), "{whole} {text:?}");
        }
    }
}

#[tokio::test]
async fn the_whole_call_has_its_limit() {
    let server = ScriptedUpstream::always(Script::sse(vec!["x"; 100]).stall()).await;
    let clock = ManualClock::new();
    let request =
        Request::get(endpoint(&server.url())).with_timeouts(Timeouts::default().with_total(secs(60)));
    let mut events = transport(&clock).send(request, None).await.unwrap().events();
    events.content_arrived();
    let mut passed = 0;
    let error = loop {
        match events.next().await.unwrap() {
            Ok(_) => clock.advance(secs(1)),
            Err(error) => break error,
        }
        passed += 1;
    };
    assert_eq!(phase(&error), (Phase::Total, Delivery::Partial));
    // Events that had come before are still given out.
    assert!((60..100).contains(&passed), "{passed}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer() {
    let server = ScriptedUpstream::always(Script::new().cut()).await;
    let error = get(&transport(&ManualClock::new()), &server).await.unwrap_err();
    let maybe_sent = Delivery::MaybeSent;
    assert!(
        matches!(&error, TransportError::Broken { delivery, .. } if *delivery == maybe_sent),
        "{error:?}"
    );
    assert_eq!(integration_core::Error::from(error).kind(), ErrorKind::Transport);
}

#[tokio::test]
async fn sizes_are_capped() {
    let server = ScriptedUpstream::always(Script::json(200, "x".repeat(2000))).await;
    let limits = Limits::default()
        .with_body(1999)
        .with_sse(SseLimits::default().with_line(1999));
    let config = TransportConfig::default()
        .with_limits(limits)
        .with_user_agent("u");
    let transport = Transport::new(config, Arc::new(ManualClock::new())).unwrap();
    let error = whole(&transport, &server).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { limit: 1999 }));
    assert_eq!(integration_core::Error::from(error).kind(), ErrorKind::Protocol);
    let error = events(&transport, &server)
        .await
        .next()
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, TransportError::Sse(SseError::LineTooLong { .. })));
    assert_eq!(error.delivery(), Delivery::Partial);
}

#[tokio::test]
async fn an_unfinished_event_and_the_end() {
    let server = ScriptedUpstream::always(Script::sse(["1"]).send("data: 2\n")).await;
    let mut events = events(&transport(&ManualClock::new()), &server).await;
    assert_eq!(events.next().await.unwrap().unwrap().text(), "1");
    assert!(events.next().await.is_none());
    assert_eq!(events.take_unterminated().unwrap().text(), "2");
    assert!(events.take_unterminated().is_none());
}

#[tokio::test]
async fn a_stream_read_to_its_end_gives_its_connection_back() {
    let server = ScriptedUpstream::always(Script::sse(["[DONE]"])).await;
    let transport = transport(&ManualClock::new());
    for _ in 0..3 {
        let mut events = events(&transport, &server).await;
        assert_eq!(events.next().await.unwrap().unwrap().text(), "[DONE]");
        // The end of the body may be a moment behind.
        settle().await;
        std::future::poll_fn(|cx| {
            events.poll_close(cx);
            std::task::Poll::Ready(())
        })
        .await;
        assert!(events.next().await.is_none());
        drop(events);
        settle().await;
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[test]
fn a_bad_setup_is_told() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let config = TransportConfig::default().with_proxy("http://user:hunter2@proxy:1");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(Transport::new(config, Arc::clone(&clock)).is_ok());
    let error = Transport::new(TransportConfig::default().with_proxy("::"), Arc::clone(&clock)).unwrap_err();
    assert_eq!(integration_core::Error::from(error).kind(), ErrorKind::Config);
    assert!(
        Transport::new(
            TransportConfig::default().with_user_agent("a\nb"),
            Arc::clone(&clock)
        )
        .is_err()
    );
    assert_eq!(HeaderValue::from_static("x"), "x");
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let config = TransportConfig::default().with_root_certificate(pem);
        let error = Transport::new(config, Arc::new(ManualClock::new())).unwrap_err();
        assert!(matches!(error, TransportError::Config { .. }), "{pem}: {error:?}");
    }
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

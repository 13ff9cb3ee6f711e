//! Servers that cannot prove who they are: the fault F4.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod secure;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{attempts, settle};
use http_transport::retry::RetryPolicy;
use http_transport::{HeaderName, Request, Transport, TransportConfig, TransportError, bearer};
use integration_core::{Delivery, Error, ErrorKind, ManualClock, RetryClass, Secret};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use rcgen::date_time_ymd;
use secure::{Authority, endpoint, serve, trusting};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn request(to: http_transport::Endpoint) -> Request {
    let key = bearer(&Secret::new("sk-canary").unwrap()).unwrap();
    Request::post(to, "{}").with_header(HeaderName::from_static("authorization"), key)
}

/// Nothing was sent, it is not tried again, and the text says whose fault it is.
fn check(error: TransportError, host: &str, words: &str) {
    assert!(
        matches!(&error, TransportError::Tls { host: told, .. } if told.starts_with(host)),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.starts_with("no secure connection to "), "{text}");
    assert!(text.contains(words), "{text}");
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(attempts(error, RetryPolicy::standard()), 1);
}

#[tokio::test]
async fn f04_a_companys_own_authority_is_trusted_once_it_is_named() {
    let authority = Authority::new();
    for name in ["localhost", "127.0.0.1"] {
        let settings = authority.server(name, |_| {});
        let address = serve(settings, |_, mut stream| async move {
            let mut bytes = vec![0; 4096];
            let _ = stream.read(&mut bytes).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            let _ = stream.read(&mut bytes).await;
        })
        .await;
        let clock = ManualClock::new();
        let answer = trusting(&authority, &clock)
            .send(request(endpoint(name, address)), None)
            .await
            .unwrap();
        assert_eq!(&answer.bytes().await.unwrap()[..], b"ok");

        // Without it the same server is a stranger.
        let stranger = Authority::named("Somebody else's");
        let error = trusting(&stranger, &clock)
            .send(request(endpoint(name, address)), None)
            .await
            .unwrap_err();
        check(error, name, "UnknownIssuer");
        let error = Transport::new(TransportConfig::default(), Arc::new(clock.clone()))
            .unwrap()
            .send(request(endpoint(name, address)), None)
            .await
            .unwrap_err();
        match error {
            // A machine without root certificates.
            TransportError::Config { message } => assert!(message.contains("root certificates")),
            error => check(error, name, "UnknownIssuer"),
        }
    }
}

#[tokio::test]
async fn f04_a_certificate_that_does_not_hold_fails_closed() {
    let authority = Authority::new();
    let expired = authority.server("localhost", |params| {
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let not_yet = authority.server("localhost", |params| {
        params.not_before = date_time_ymd(2099, 1, 1);
    });
    let wrong_host = authority.server("other.example", |_| {});
    for (settings, words) in [
        (expired, "xpired"),
        (not_yet, "not valid yet"),
        (wrong_host, "not valid for name"),
    ] {
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        let address = serve(settings, move |_, mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let mut bytes = vec![0; 4096];
                if stream.read(&mut bytes).await.unwrap_or(0) > 0 {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await;
        let error = trusting(&authority, &ManualClock::new())
            .send(request(endpoint("localhost", address)), None)
            .await
            .unwrap_err();
        check(error, "localhost", words);
        settle().await;
        // The request, and with it the key, has not left.
        assert_eq!(requests.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn f04_a_server_without_encryption_gets_no_request() {
    // It would answer plain HTTP, and answers the handshake with text.
    let plain = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let raw = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = raw.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut socket, _) = raw.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let n = socket.read(&mut bytes).await.unwrap();
        let _ = socket
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await;
        bytes.truncate(n);
        while socket.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {}
        bytes
    });
    let authority = Authority::new();
    let transport = trusting(&authority, &ManualClock::new());
    let error = transport
        .send(request(endpoint("localhost", address)), None)
        .await
        .unwrap_err();
    check(error, "localhost", "corrupt message");
    let heard = heard.await.unwrap();
    assert!(!heard.windows(9).any(|bytes| bytes == b"sk-canary"));

    // A server that waits for plain requests and says nothing: the handshake never ends, and nothing goes in clear text.
    let clock = ManualClock::new();
    let transport = trusting(&authority, &clock);
    let to = endpoint("localhost", plain.address());
    let task = tokio::spawn(async move { transport.send(request(to), None).await.unwrap_err() });
    let error = common::let_time_pass(&clock, task).await;
    assert_eq!(error.delivery(), Delivery::NotSent);
    settle().await;
    assert_eq!(plain.requests().len(), 0);
}

#[tokio::test]
async fn f04_an_old_version_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let _ = socket.read(&mut bytes).await;
            // A fatal alert, protocol_version: what a server says that knows nothing newer than TLS 1.1.
            let _ = socket.write_all(&[21, 3, 1, 0, 2, 2, 70]).await;
            let _ = socket.read(&mut bytes).await;
        }
    });
    let error = trusting(&Authority::new(), &ManualClock::new())
        .send(request(endpoint("localhost", address)), None)
        .await
        .unwrap_err();
    check(error, "localhost", "ProtocolVersion");
}

#[tokio::test]
async fn f04_such_an_error_sends_the_caller_elsewhere() {
    let address = serve(Authority::new().server("localhost", |_| {}), |_, _| async {}).await;
    let error = trusting(&Authority::named("Somebody else's"), &ManualClock::new())
        .send(request(endpoint("localhost", address)), None)
        .await
        .unwrap_err();
    let error = Error::from(error);
    assert_eq!(
        (error.kind(), error.retry_class(), error.delivery(), error.code()),
        (
            ErrorKind::Transport,
            RetryClass::OtherDeployment,
            Delivery::NotSent,
            Some("tls")
        )
    );
}

#[tokio::test]
async fn f04_what_breaks_after_the_handshake_may_have_been_processed() {
    let authority = Authority::new();
    let address = serve(
        authority.server("localhost", |_| {}),
        |_, mut stream| async move {
            let mut bytes = vec![0; 4096];
            let _ = stream.read(&mut bytes).await;
            // A record that cannot be decrypted, after the whole request has been read.
            let mut record = vec![23, 3, 3, 0, 32];
            record.extend([7; 32]);
            let socket = stream.get_mut().0;
            let _ = socket.write_all(&record).await;
            let _ = socket.read(&mut bytes).await;
        },
    )
    .await;
    let error = trusting(&authority, &ManualClock::new())
        .send(request(endpoint("localhost", address)), None)
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::Broken { .. }), "{error:?}");
    assert_eq!(error.delivery(), Delivery::MaybeSent);
    assert_eq!(attempts(error, RetryPolicy::standard()), 1);
}

//! The way through a proxy, and what never takes it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod secure;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use common::secs;
use http_transport::{Endpoint, Request, Resolve, ResolveError, Transport, TransportConfig, TransportError};
use integration_core::{BoxFuture, Delivery, ManualClock};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use secure::{Authority, serve};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// `user:p@ss`
const CREDENTIALS: &str = "user:p%40ss";
const AUTHORIZATION: &str = "Basic dXNlcjpwQHNz";

/// A resolver that knows no host.
#[derive(Debug)]
struct Nobody;

impl Resolve for Nobody {
    fn resolve(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        let said = ResolveError::new(format!("asked for {host}"));
        Box::pin(async { Err(said) })
    }
}

fn transport(config: TransportConfig) -> Transport {
    Transport::new(config, Arc::new(ManualClock::new())).unwrap()
}

fn through(proxy: String) -> TransportConfig {
    TransportConfig::default()
        .with_resolver(Arc::new(Nobody))
        .with_proxy(proxy)
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// Answers a `CONNECT`, and passes bytes on to `to` if that was a good answer. Gives the head of what it was asked.
async fn tunnel(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, to: SocketAddr) -> String {
    let head = read_head(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    if answer.contains(" 200 ") {
        let mut server = TcpStream::connect(to).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
    }
    head
}

/// A server of `api.example` that tells what it was asked.
async fn secret_server(authority: &Authority) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    let address = serve(authority.server("api.example", |_| {}), move |_, mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            let head = read_head(&mut stream).await;
            heads.lock().unwrap().push(head);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
        }
    })
    .await;
    (address, seen)
}

#[tokio::test]
async fn a_plain_request_is_handed_to_the_proxy_whole() {
    let proxy = ScriptedUpstream::always(Script::json(200, "{}")).await;
    for (user, sent) in [("", None), ("user:p%40ss@", Some(AUTHORIZATION))] {
        let transport = transport(through(format!("http://{user}{}", proxy.address())));
        let to = Endpoint::with_plain_http("http://api.example/v1")
            .unwrap()
            .join("x", Some("a=b"));
        transport.send(Request::get(to), None).await.unwrap();
        let seen = proxy.next_request().await;
        assert_eq!(seen.path, "http://api.example/v1/x?a=b");
        assert_eq!(seen.header("host"), Some("api.example"));
        assert_eq!(seen.header("proxy-authorization"), sent);
    }
}

#[tokio::test]
async fn an_encrypted_request_goes_through_a_tunnel_that_sees_nothing_of_it() {
    let authority = Authority::new();
    let (server, seen) = secret_server(&authority).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("{CREDENTIALS}@{}", listener.local_addr().unwrap());
    let proxying = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tunnel(stream, "HTTP/1.1 200 OK\r\n\r\n", server).await
    });
    // Without a scheme it is a plain proxy.
    let transport = transport(through(proxy).with_root_certificate(authority.pem()));
    let to = Endpoint::new("https://api.example/v1").unwrap();
    let answer = transport.send(Request::get(to), None).await.unwrap();
    assert_eq!(&answer.bytes().await.unwrap()[..], b"ok");
    let head = proxying.await.unwrap();
    assert!(head.starts_with("connect api.example:443 http/1.1\r\n"), "{head}");
    let expected = format!("proxy-authorization: {}", AUTHORIZATION.to_ascii_lowercase());
    assert!(head.contains(&expected), "{head}");
    let seen = seen.lock().unwrap().concat();
    assert!(seen.starts_with("get /v1 http/1.1\r\n"), "{seen}");
    assert!(!seen.contains("proxy-authorization"), "{seen}");
}

#[tokio::test]
async fn a_proxy_that_is_itself_encrypted() {
    let authority = Authority::new();
    let (server, seen) = secret_server(&authority).await;
    let proxy = serve(
        authority.server("127.0.0.1", |_| {}),
        move |_, stream| async move {
            let head = tunnel(stream, "HTTP/1.1 200 OK\r\n\r\n", server).await;
            assert!(head.starts_with("connect api.example:443 "));
        },
    )
    .await;
    let config = through(format!("https://{proxy}")).with_root_certificate(authority.pem());
    let to = Endpoint::new("https://api.example/v1").unwrap();
    let answer = transport(config).send(Request::get(to), None).await.unwrap();
    assert_eq!(&answer.bytes().await.unwrap()[..], b"ok");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_tunnel_that_is_refused_is_no_connection() {
    for answer in [
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\n\r\n",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            tunnel(stream, answer, proxy).await
        });
        let transport = transport(through(format!("http://user:hunter2@{proxy}")));
        let to = Endpoint::new("https://api.example/v1").unwrap();
        let error = transport.send(Request::get(to), None).await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::NotSent);
        match &error {
            TransportError::Connect { host, .. } => assert_eq!(host, "api.example"),
            // A machine without root certificates.
            TransportError::Config { message } => assert!(message.contains("root certificates")),
            other => panic!("{other:?}"),
        }
        let shown = format!("{error} {error:?} {transport:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("dXNlcjp"),
            "{shown}"
        );
    }
}

/// Plain http is allowed to this machine only since it does not leave it.
#[tokio::test]
async fn what_is_for_this_machine_does_not_leave_it() {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
        // Neither the proxy nor the resolver is there.
        let transport = transport(through("http://127.0.0.1:1".to_owned()).with_keep_alive(secs(0)));
        let to = Endpoint::new(&format!("http://{host}:{port}/x")).unwrap();
        let answer = transport.send(Request::get(to), None).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(server.next_request().await.path, "/x");
    }
}

#[test]
fn a_proxy_that_cannot_be_read_is_told_without_its_password() {
    for bad in ["::", "socks5://proxy:1", "http://", "http://user:hunter2@"] {
        let config = TransportConfig::default().with_proxy(bad);
        let error = Transport::new(config, Arc::new(ManualClock::new())).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("the proxy's URL cannot be read: use http://host:port"));
        assert!(!text.contains("hunter2"));
    }
}

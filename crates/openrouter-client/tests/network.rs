//! The network a client is told to use: certificates, resolvers, proxies, and what may leave the machine unencrypted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use common::{KEY, WHOLE, cx, request};
use integration_core::{BoxFuture, ChatClient, Delivery, ErrorKind, ManualClock, Secret};
use openrouter_client::retry::RetryPolicy;
use openrouter_client::{Config, OpenRouterClient, Resolve, ResolveError};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

/// A name that no public server has.
const HOST: &str = "openrouter.corp.example";

/// Gives every host one address, and keeps what it was asked for.
#[derive(Debug)]
struct Book {
    address: IpAddr,
    asked: Mutex<Vec<String>>,
}

impl Book {
    fn new(address: impl Into<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            address: address.into(),
            asked: Mutex::default(),
        })
    }
}

impl Resolve for Book {
    fn resolve(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        self.asked.lock().unwrap().push(host.to_owned());
        Box::pin(std::future::ready(Ok(vec![self.address])))
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate authority of a company of its own.
fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server of [`HOST`] whose certificate an authority has signed. Answers every request with a whole answer.
async fn serve(authority: &Authority) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([HOST.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else {
                continue;
            };
            let mut head = vec![0; 8192];
            let n = stream.read(&mut head).await.unwrap_or(0);
            assert!(String::from_utf8_lossy(&head[..n]).contains(KEY));
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{WHOLE}",
                WHOLE.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn config(base_url: &str) -> Config {
    Config::new(Secret::new(KEY).unwrap())
        .with_base_url(base_url)
        .with_retry(RetryPolicy::None)
}

fn client(config: Config) -> OpenRouterClient {
    OpenRouterClient::with_clock(config, Arc::new(ManualClock::new())).unwrap()
}

#[tokio::test]
async fn f04_a_companys_own_authority_and_resolver_are_used() {
    let authority = authority();
    let address = serve(&authority).await;
    let book = Book::new(address.ip());
    let base_url = format!("https://{HOST}:{}/api/v1", address.port());
    let config = config(&base_url).with_resolver(book.clone());
    let trusting = config.clone().with_root_certificate(authority.pem());
    assert!(format!("{trusting:?}").contains("root_certificates: 1"));
    let answer = client(trusting).chat(&cx(), &request()).await.unwrap();
    assert_eq!(answer.text(), "Hi");
    assert_eq!(*book.asked.lock().unwrap(), [HOST]);

    // Without it the server is a stranger, and gets no key.
    let stranger = config.with_root_certificate(self::authority().pem());
    let error = client(stranger).chat(&cx(), &request()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.delivery()),
        (ErrorKind::Transport, Some("tls"), Delivery::NotSent)
    );
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let config = config("https://host/api/v1").with_root_certificate("a private key");
    let error = OpenRouterClient::new(config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("root certificate"), "{error}");
    assert!(!error.message().contains("private"), "{error}");
}

/// Plain http is allowed to this machine only, so a request that may go in clear text must not leave it: neither to where
/// somebody says that `localhost` is, nor to a proxy.
#[tokio::test]
async fn what_is_not_encrypted_stays_on_this_machine() {
    let here = ScriptedUpstream::always(Script::json(200, WHOLE)).await;
    let proxy = ScriptedUpstream::always(Script::json(200, WHOLE)).await;
    // A network for documentation, which no packet reaches.
    let elsewhere = Book::new(Ipv4Addr::new(192, 0, 2, 1));
    for host in ["localhost", "LOCALHOST", "127.0.0.1"] {
        let base_url = format!("http://{host}:{}/api/v1", here.address().port());
        let config = config(&base_url)
            .with_resolver(elsewhere.clone())
            .with_proxy(proxy.url());
        let answer = client(config).chat(&cx(), &request()).await.unwrap();
        assert_eq!(answer.text(), "Hi", "{host}");
    }
    assert_eq!((here.requests().len(), proxy.requests().len()), (3, 0));
    assert!(elsewhere.asked.lock().unwrap().is_empty());

    // What only looks like it is refused before anything is sent.
    for host in [
        "localhost.",
        "localhost.example",
        "localhost.localdomain",
        "127.0.0.1.example",
        "0.0.0.0",
    ] {
        let error = OpenRouterClient::new(config(&format!("http://{host}/api/v1"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{host}");
    }
}

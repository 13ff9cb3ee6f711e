//! Connections that cannot be made, and those that end between two requests: the faults F1, F2, F3 and F59.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{attempts, endpoint, get, let_time_pass, phase, post, secs, settle, transport, whole};
use http_transport::retry::{Retrier, RetryPolicy};
use http_transport::{
    Endpoint, Phase, Request, Resolve, ResolveError, SystemClock, SystemResolver, Timeouts, Transport,
    TransportConfig, TransportError,
};
use integration_core::{BoxFuture, Clock, Delivery, Error, ErrorKind, ManualClock, RetryClass};
use provider_testkit::upstream::{Script, ScriptedUpstream};

#[tokio::test]
async fn f01_a_refused_connection_is_told_as_not_sent_and_may_be_retried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let to = endpoint(&format!("http://{address}"));
    let error = transport(&ManualClock::new())
        .send(Request::get(to), None)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransportError::Connect { host, .. } if *host == address.to_string()),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("cannot connect to {address}: ")),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(attempts(error, RetryPolicy::standard()), 3);
}

/// Listens, and lets nobody in: its queue is full, so the kernel drops what asks for a connection. Held are the connections
/// that fill it.
async fn black_hole(at: &str) -> (SocketAddr, tokio::net::TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(at.parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    loop {
        let mut connecting = Box::pin(tokio::net::TcpStream::connect(address));
        // On this machine a connection is made at once or not at all.
        let mut made = None;
        for _ in 0..200 {
            if let std::task::Poll::Ready(outcome) = futures_util::poll!(&mut connecting) {
                made = Some(outcome.unwrap());
                break;
            }
            tokio::task::yield_now().await;
        }
        match made {
            Some(stream) => held.push(stream),
            None => return (address, listener, held),
        }
    }
}

#[tokio::test]
async fn f02_a_black_hole_costs_the_connect_deadline_and_nothing_was_sent() {
    let (address, _listener, _held) = black_hole("127.0.0.1:0").await;
    let clock = ManualClock::new();
    let began = clock.now();
    let (transport, to) = (transport(&clock), endpoint(&format!("http://{address}")));
    let task = tokio::spawn(async move { transport.send(Request::post(to, "{}"), None).await.unwrap_err() });
    let error = let_time_pass(&clock, task).await;
    assert_eq!(phase(&error), (Phase::Connect, Delivery::NotSent));
    // The deadline of connecting, not that of the first byte or of the whole call.
    assert_eq!(clock.now() - began, secs(10));
    assert_eq!(attempts(error, RetryPolicy::standard()), 3);
}

/// In real time: the time of each address is the connector's own matter.
#[tokio::test]
async fn f02_a_dead_address_leaves_time_for_the_next_one() {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let dead = format!("127.0.0.2:{}", server.address().port());
    let (_, _listener, _held) = black_hole(&dead).await;
    let resolver: Arc<dyn Resolve> = Written::new([Some(Ok(vec![
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
    ]))]);
    let timeouts = Timeouts::default().with_connect(Duration::from_millis(500));
    let config = TransportConfig::default()
        .with_resolver(resolver)
        .with_timeouts(timeouts);
    let transport = Transport::new(config, Arc::new(SystemClock)).unwrap();
    let answer = transport.send(Request::get(named(&server)), None).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn f02_whoever_gives_up_while_there_is_no_connection_has_sent_nothing() {
    let (address, _listener, _held) = black_hole("127.0.0.1:0").await;
    let clock = ManualClock::new();
    let deadline = clock.now() + secs(3);
    let (transport, to) = (transport(&clock), endpoint(&format!("http://{address}")));
    let task = tokio::spawn(async move {
        let request = Request::post(to, "{}");
        transport.send(request, Some(deadline)).await.unwrap_err()
    });
    let error = let_time_pass(&clock, task).await;
    assert_eq!(phase(&error), (Phase::Caller, Delivery::NotSent));
}

#[tokio::test]
async fn f02_a_handshake_that_hangs_is_a_connection_that_hangs() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Endpoint::new(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let clock = ManualClock::new();
    let transport = transport(&clock);
    let task = tokio::spawn(async move { transport.send(Request::get(to), None).await.unwrap_err() });
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

/// `None`: the resolver does not answer.
type Answer = Option<Result<Vec<IpAddr>, ResolveError>>;

/// Answers as written down, in that order.
#[derive(Debug, Default)]
struct Written {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Written {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolve for Written {
    fn resolve(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        self.asked.lock().unwrap().push(host.to_owned());
        match self.answers.lock().unwrap().pop_front().expect("an answer") {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    }
}

fn good() -> Answer {
    Some(Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]))
}

fn no_such_host() -> Answer {
    Some(Err(ResolveError::new("no such host")))
}

fn silent() -> Answer {
    None
}

/// A transport that keeps no connections, so that every request asks for the address.
fn with_resolver(clock: &ManualClock, resolver: &Arc<Written>) -> Transport {
    let resolver: Arc<dyn Resolve> = Arc::<Written>::clone(resolver);
    let config = TransportConfig::default()
        .with_resolver(resolver)
        .with_keep_alive(secs(0));
    assert!(format!("{config:?}").contains("Written"));
    Transport::new(config, Arc::new(clock.clone())).unwrap()
}

fn named(server: &ScriptedUpstream) -> Endpoint {
    let url = format!("http://api.example:{}", server.address().port());
    Endpoint::with_plain_http(&url)
        .unwrap()
        .join("x", Some("key=hunter2"))
}

#[tokio::test]
async fn f03_a_name_that_cannot_be_found_is_told_with_the_name() {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    for answer in [no_such_host(), Some(Ok(Vec::new()))] {
        let resolver = Written::new([answer]);
        let error = with_resolver(&ManualClock::new(), &resolver)
            .send(Request::get(named(&server)), None)
            .await
            .unwrap_err();
        assert!(
            matches!(&error, TransportError::Dns { host, .. } if host == "api.example"),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .starts_with("cannot find the address of api.example: "),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
        assert_eq!(*resolver.asked.lock().unwrap(), ["api.example"]);
        let error = Error::from(error);
        assert_eq!(
            (error.kind(), error.delivery(), error.retry_class(), error.code()),
            (
                ErrorKind::Transport,
                Delivery::NotSent,
                RetryClass::SameDeployment,
                Some("dns")
            )
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn f03_the_last_good_address_bridges_a_flapping_resolver() {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let resolver = Written::new([
        good(),
        no_such_host(),
        Some(Ok(Vec::new())),
        silent(),
        good(),
        no_such_host(),
        no_such_host(),
    ]);
    let clock = ManualClock::new();
    let transport = with_resolver(&clock, &resolver);
    let call = || {
        let (transport, request) = (transport.clone(), Request::get(named(&server)));
        tokio::spawn(async move { transport.send(request, None).await.map(|r| r.status().as_u16()) })
    };
    for _ in 0..3 {
        assert_eq!(call().await.unwrap().unwrap(), 200);
    }
    // A resolver that hangs is given 1.8 s, not the whole time of a connection.
    let began = clock.now();
    assert_eq!(let_time_pass(&clock, call()).await.unwrap(), 200);
    assert_eq!((clock.now() - began).as_millis(), 1800);
    // A good answer begins the hour anew.
    clock.advance(secs(3599));
    assert_eq!(call().await.unwrap().unwrap(), 200);
    clock.advance(secs(3600));
    assert_eq!(call().await.unwrap().unwrap(), 200);
    clock.advance(secs(1));
    let error = call().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Dns { .. }), "{error:?}");
    assert_eq!((resolver.asked(), server.requests().len()), (7, 6));
}

#[tokio::test]
async fn f03_without_a_last_good_address_a_silent_resolver_costs_the_connect_deadline() {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let clock = ManualClock::new();
    let (transport, request) = (
        with_resolver(&clock, &Written::new([silent()])),
        Request::get(named(&server)),
    );
    let task = tokio::spawn(async move { transport.send(request, None).await.unwrap_err() });
    assert_eq!(
        phase(&let_time_pass(&clock, task).await),
        (Phase::Connect, Delivery::NotSent)
    );
}

#[tokio::test]
async fn f03_a_retry_outlives_a_resolver_that_fails_once() {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let resolver = Written::new([no_such_host(), no_such_host(), good()]);
    let clock = ManualClock::new();
    let (transport, to) = (with_resolver(&clock, &resolver), named(&server));
    let waits = clock.clone();
    let task = tokio::spawn(async move {
        let retrier = Retrier::new(RetryPolicy::standard());
        let attempt = |_| async { Ok(transport.send(Request::post(to.clone(), "{}"), None).await?) };
        retrier
            .run(&waits, None, attempt)
            .await
            .map(|r| r.status().as_u16())
    });
    assert_eq!(let_time_pass(&clock, task).await.unwrap(), 200);
    assert_eq!((resolver.asked(), server.requests().len()), (3, 1));
}

#[tokio::test]
async fn f03_no_stale_address_where_none_is_wanted() {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let resolver: Arc<dyn Resolve> = Written::new([good(), no_such_host()]);
    let config = TransportConfig::default()
        .with_resolver(resolver)
        .with_keep_alive(secs(0))
        .with_stale_addresses(secs(0));
    let clock = ManualClock::new();
    let transport = Transport::new(config, Arc::new(clock.clone())).unwrap();
    transport.send(Request::get(named(&server)), None).await.unwrap();
    let error = transport
        .send(Request::get(named(&server)), None)
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::Dns { .. }));
}

#[tokio::test]
async fn the_system_knows_this_machine() {
    let found = SystemResolver.resolve("localhost").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    assert!(SystemResolver.resolve("no such name").await.is_err());
}

#[tokio::test]
async fn many_hosts_are_not_all_remembered() {
    #[derive(Debug)]
    struct Once(Mutex<std::collections::BTreeSet<String>>);
    impl Resolve for Once {
        fn resolve(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
            let first = self.0.lock().unwrap().insert(host.to_owned());
            Box::pin(async move {
                if first {
                    Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
                } else {
                    Err(ResolveError::new("again"))
                }
            })
        }
    }
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let config = TransportConfig::default()
        .with_resolver(Arc::new(Once(Mutex::default())))
        .with_keep_alive(secs(0));
    let clock = ManualClock::new();
    let transport = Transport::new(config, Arc::new(clock.clone())).unwrap();
    let call = |host: String| {
        let to = Endpoint::with_plain_http(&format!("http://{host}:{}", server.address().port())).unwrap();
        transport.send(Request::get(to), None)
    };
    for n in 0..257 {
        call(format!("h{n}.example")).await.unwrap();
        clock.advance(secs(1));
    }
    // The first has made room for the last.
    assert!(call("h0.example".to_owned()).await.is_err());
    assert!(call("h1.example".to_owned()).await.is_ok());
    assert!(call("h256.example".to_owned()).await.is_ok());
}

#[tokio::test]
async fn f59_a_connection_that_ended_while_idle_is_replaced_unseen() {
    for end in [
        Script::json(200, "first").cut(),
        Script::json(200, "first").reset(),
    ] {
        let server = ScriptedUpstream::sequence([end, Script::json(200, "second")]).await;
        let clock = ManualClock::new();
        let transport = transport(&clock);
        // Not all of the answer may arrive before a reset; what matters is the next request.
        let _ = whole(&transport, &server).await;
        settle().await;
        let response = post(&transport, &server).await.unwrap();
        assert_eq!(&response.bytes().await.unwrap()[..], b"second");
        assert_eq!((server.requests().len(), server.connections()), (2, 2));
    }
}

/// A server that closes a connection at the very moment it is used for a second time.
async fn races(end: fn(Script) -> Script) -> (ScriptedUpstream, Transport, ManualClock) {
    let closes = end(Script::json(200, "first").wait_for_bytes());
    let server = ScriptedUpstream::sequence([closes, Script::json(200, "second")]).await;
    let clock = ManualClock::new();
    let transport = transport(&clock);
    assert_eq!(&whole(&transport, &server).await.unwrap()[..], b"first");
    settle().await;
    (server, transport, clock)
}

#[tokio::test]
async fn f59_a_request_that_meets_its_connections_end_is_not_paid_for_twice() {
    for end in [Script::cut as fn(Script) -> Script, Script::reset] {
        // The client cannot know that this server has not processed the request: another one, that has, breaks in the same
        // way. So what costs money is not sent again by itself.
        let (server, transport, _) = races(end).await;
        let error = post(&transport, &server).await.unwrap_err();
        let maybe_sent = Delivery::MaybeSent;
        assert!(
            matches!(&error, TransportError::Broken { delivery, .. } if *delivery == maybe_sent),
            "{error:?}"
        );
        assert_eq!(attempts(error, RetryPolicy::standard()), 1);
        settle().await;
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn f59_a_request_that_costs_nothing_is_sent_again_once_on_a_new_connection() {
    for end in [Script::cut as fn(Script) -> Script, Script::reset] {
        let (server, transport, clock) = races(end).await;
        let retrier = Retrier::new(RetryPolicy::standard());
        let to = endpoint(&server.url());
        let (sender, retrying, waits) = (transport.clone(), retrier.clone(), clock.clone());
        let task = tokio::spawn(async move {
            let attempt = |_| async { Ok(sender.send(Request::get(to.clone()), None).await?) };
            retrying
                .run_free(&waits, None, attempt)
                .await?
                .bytes()
                .await
                .map_err(Error::from)
        });
        assert_eq!(&let_time_pass(&clock, task).await.unwrap()[..], b"second");
        // The server has seen it once, and it has cost one retry, given back by its success.
        assert_eq!((server.requests().len(), server.connections()), (2, 2));
        assert_eq!(retrier.budget().tokens(), 500);
        // The connection is fit for the next one.
        get(&transport, &server).await.unwrap();
    }
}

#[tokio::test]
async fn connections_are_kept_or_not_as_asked() {
    for (keep, connections) in [(secs(50), 1), (secs(0), 3)] {
        let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
        let config = TransportConfig::default().with_keep_alive(keep);
        let transport = Transport::new(config, Arc::new(ManualClock::new())).unwrap();
        for _ in 0..3 {
            whole(&transport, &server).await.unwrap();
            settle().await;
        }
        assert_eq!(server.connections(), connections);
    }
}

//! Open connections: one exchange at a time over HTTP/1.1, many over HTTP/2, and those that wait for the next.
//!
//! Whoever waits for an answer over HTTP/1.1 drives the connection in its own task. So bytes pass no queue between tasks,
//! nothing is read that nobody asks for, and dropping the answer closes the socket on the spot.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use integration_core::Clock;

use crate::dial::{Dialled, Io};
use crate::socket::Probe;

pub(crate) type Body = Full<Bytes>;

/// The most of an answer that is held before it is asked for, and the longest head: as in Node.js.
const READ_BUFFER: usize = 16 << 10;

/// While an HTTP/2 connection has open streams it is asked this often whether it still lives: one whose other end is gone
/// takes every new request with it until somebody looks.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long it may take to say so.
const PING_ANSWER: Duration = Duration::from_secs(15);

/// What a slow reader leaves unread of a stream stays with the server. 64 KiB a stream: the specification's own default, and
/// Envoy's advice.
const STREAM_WINDOW: u32 = 64 << 10;

/// As many streams a connection at the most: what RFC 9113, section 6.5.2, says a server should allow at the least. A server
/// that allows fewer is taken at its word.
const MOST_STREAMS: usize = 100;

/// For all streams of a connection: more than they can hold together, so that readers that stop do not stop the others.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The most connections that wait for one server's next requests.
const MOST_IDLE: usize = 512;

/// An open connection.
pub(crate) enum Connection {
    Http1(Box<Http1>),
    Http2(Http2),
}

/// A handle to a connection of many streams. There is one for each stream, and one that is kept.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<Body>,
    /// How many streams the server allows. Counts the handles by the way.
    allowed: Arc<AtomicUsize>,
}

pub(crate) struct Http1 {
    sender: http1::SendRequest<Body>,
    /// `None` once it is closed.
    connection: Option<http1::Connection<Io, Body>>,
    probe: Probe,
}

impl Connection {
    pub(crate) async fn open(dialled: Dialled) -> hyper::Result<Self> {
        if !dialled.http2 {
            let mut settings = http1::Builder::new();
            let (sender, connection) = settings.max_buf_size(READ_BUFFER).handshake(dialled.io).await?;
            return Ok(Self::Http1(Box::new(Http1 {
                sender,
                connection: Some(connection),
                probe: dialled.probe,
            })));
        }
        let mut settings = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = settings
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(dialled.io)
            .await?;
        let allowed = Arc::new(AtomicUsize::new(MOST_STREAMS));
        let told = Arc::downgrade(&allowed);
        // Its end is told to every stream on it.
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let _ = poll_fn(|cx| {
                let end = connection.as_mut().poll(cx);
                if let Some(allowed) = told.upgrade() {
                    allowed.store(connection.current_max_send_streams(), Ordering::Relaxed);
                }
                end
            })
            .await;
        });
        Ok(Self::Http2(Http2 { sender, allowed }))
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Sends a request and waits for the head of the answer. The request comes back with the error if nothing of it was
    /// sent.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Self::Http2(http2) => http2.sender.try_send_request(request).await,
            Self::Http1(http1) => {
                let mut answering = pin!(http1.sender.try_send_request(request));
                poll_fn(|cx| {
                    http1.drive(cx);
                    answering.as_mut().poll(cx)
                })
                .await
            }
        }
    }

    /// The next piece of an answer's body.
    pub(crate) fn poll_piece(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Bytes>>> {
        let http1 = match self {
            Self::Http2(_) => return poll_data(body, cx),
            Self::Http1(http1) => http1,
        };
        // All that comes into the body comes from driving the connection, right here: nobody needs to be woken for it.
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(piece) = poll_data(body, &mut nobody) {
            return Poll::Ready(piece);
        }
        http1.drive(cx);
        poll_data(body, &mut nobody)
    }
}

fn poll_data(body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
    loop {
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
            // Trailers are nothing to us.
            Poll::Ready(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }
}

impl Http1 {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Whether it can take a request: the last answer is over, and the server has not closed it.
    fn is_free(&mut self) -> bool {
        let probe = self.probe.clone();
        probe.during(|| self.drive(&mut Context::from_waker(Waker::noop())));
        self.connection.is_some() && self.sender.is_ready()
    }
}

impl Http2 {
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether a further stream would begin at once. Asked of the handle that is kept.
    fn has_room(&self) -> bool {
        Arc::strong_count(&self.allowed) <= self.allowed.load(Ordering::Relaxed).min(MOST_STREAMS)
    }
}

/// Whom a connection is with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    scheme: Option<Scheme>,
    authority: Option<Authority>,
}

impl Origin {
    pub(crate) fn of(uri: &Uri) -> Self {
        Self {
            scheme: uri.scheme().cloned(),
            authority: uri.authority().cloned(),
        }
    }
}

/// Connections without a request, kept for the next one.
pub(crate) struct Pool {
    kept: Mutex<Kept>,
    /// How long each of them is kept.
    keep: Duration,
    /// Servers do not wait longer for it, so it is real time but in tests.
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Kept {
    by_origin: HashMap<Origin, Idle>,
    /// Whether somebody looks after those nobody asks for.
    watched: bool,
}

#[derive(Default)]
struct Idle {
    /// The one used last is used first: the others grow old and go.
    alone: Vec<(Box<Http1>, Instant)>,
    shared: Vec<(Http2, Instant)>,
}

impl Pool {
    pub(crate) fn new(keep: Duration, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::default(),
            keep,
            clock,
        })
    }

    /// A connection that can take a request at once.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Connection> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = kept.by_origin.get_mut(origin)?;
        idle.shared
            .retain(|(http2, used)| http2.is_open() && !self.is_old(*used, now));
        if let Some((http2, used)) = idle.shared.iter_mut().find(|(http2, _)| http2.has_room()) {
            *used = now;
            return Some(Connection::Http2(http2.clone()));
        }
        while let Some((mut http1, used)) = idle.alone.pop() {
            if !self.is_old(used, now) && http1.is_free() {
                return Some(Connection::Http1(http1));
            }
        }
        None
    }

    /// Lets further requests share a connection, if it can be shared.
    pub(crate) fn share(self: &Arc<Self>, origin: &Origin, connection: &Connection) {
        if let Connection::Http2(http2) = connection {
            self.keep(origin, |idle, now| idle.shared.push((http2.clone(), now)));
        }
    }

    /// Takes a connection back whose answer has been read to its end. One that is not free then is closed.
    pub(crate) fn put_back(self: &Arc<Self>, origin: &Origin, connection: Connection) {
        match connection {
            Connection::Http1(mut http1) => {
                if http1.is_free() {
                    self.keep(origin, |idle, now| {
                        if idle.alone.len() < MOST_IDLE {
                            idle.alone.push((http1, now));
                        }
                    });
                }
            }
            Connection::Http2(http2) => {
                let now = self.clock.now();
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let shared = kept.by_origin.get_mut(origin).into_iter();
                for (other, used) in shared.flat_map(|idle| &mut idle.shared) {
                    if Arc::ptr_eq(&other.allowed, &http2.allowed) {
                        *used = now;
                    }
                }
            }
        }
    }

    fn keep(self: &Arc<Self>, origin: &Origin, add: impl FnOnce(&mut Idle, Instant)) {
        let now = self.clock.now();
        if self.keep.is_zero() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        add(kept.by_origin.entry(origin.clone()).or_default(), now);
        if !kept.watched
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            kept.watched = true;
            runtime.spawn(watch(Watch(Arc::downgrade(self))));
        }
    }

    fn is_old(&self, used: Instant, now: Instant) -> bool {
        now.saturating_duration_since(used) >= self.keep
    }

    /// Closes what is old or was closed by the server. Whether anything is left.
    fn prune(&self) -> bool {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_origin.retain(|_, idle| {
            idle.alone
                .retain_mut(|(http1, used)| !self.is_old(*used, now) && http1.is_free());
            idle.shared
                .retain(|(http2, used)| http2.is_open() && !self.is_old(*used, now));
            !idle.alone.is_empty() || !idle.shared.is_empty()
        });
        !kept.by_origin.is_empty()
    }
}

/// Looks after a pool while it holds anything.
async fn watch(watch: Watch) {
    while let Some(sleep) = watch.0.upgrade().map(|pool| pool.clock.sleep(pool.keep / 2)) {
        sleep.await;
        if !watch.0.upgrade().is_some_and(|pool| pool.prune()) {
            return;
        }
    }
}

/// Tells the pool that nobody looks after it any more, also where the runtime ends before the pool.
struct Watch(Weak<Pool>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.kept.lock().unwrap_or_else(PoisonError::into_inner).watched = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use integration_core::ManualClock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const KEEP: Duration = Duration::from_secs(50);

    fn pool() -> (Arc<Pool>, ManualClock, Origin) {
        let clock = ManualClock::new();
        let pool = Pool::new(KEEP, Arc::new(clock.clone()));
        (pool, clock, Origin::of(&Uri::from_static("http://api.example/")))
    }

    /// A connection on which one exchange is over, and the server's end of it.
    async fn used() -> (Connection, DuplexStream) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let io = Io::new(Box::new(ours));
        let dialled = Dialled {
            io,
            http2: false,
            probe: Probe::default(),
        };
        let mut connection = Connection::open(dialled).await.unwrap();
        let answer = async {
            theirs.read_u8().await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            theirs.write_all(answer).await.unwrap();
        };
        let asked = connection.exchange(Request::new(Body::default()));
        let (answer, ()) = tokio::join!(asked, answer);
        let mut body = answer.map_err(TrySendError::into_error).unwrap().into_body();
        while let Some(piece) = poll_fn(|cx| connection.poll_piece(&mut body, cx)).await {
            assert_eq!(&piece.unwrap()[..], b"ok");
        }
        (connection, theirs)
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_its_own_server_and_its_time() {
        let (pool, clock, origin) = pool();
        let (connection, _server) = used().await;
        pool.put_back(&origin, connection);
        assert!(
            pool.take(&Origin::of(&Uri::from_static("https://api.example/")))
                .is_none()
        );
        clock.advance(KEEP - Duration::from_secs(1));
        let connection = pool.take(&origin).expect("young enough");
        assert!(pool.take(&origin).is_none(), "one at a time");
        pool.put_back(&origin, connection);
        clock.advance(KEEP);
        assert!(pool.take(&origin).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_nobody_asks_for_is_closed_in_time_and_then_nobody_watches() {
        let (pool, clock, origin) = pool();
        let (connection, mut server) = used().await;
        pool.put_back(&origin, connection);
        tokio::task::yield_now().await;
        assert_eq!(clock.pending(), 1);
        clock.advance(KEEP);
        tokio::task::yield_now().await;
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        assert_eq!(clock.pending(), 0);
        // And again.
        let (connection, _server) = used().await;
        pool.put_back(&origin, connection);
        tokio::task::yield_now().await;
        assert_eq!(clock.pending(), 1);
        drop(pool);
        clock.advance(KEEP);
        tokio::task::yield_now().await;
        assert_eq!(clock.pending(), 0);
    }

    #[tokio::test]
    async fn a_connection_the_server_closed_is_not_used() {
        let (pool, _, origin) = pool();
        let (old, server) = used().await;
        pool.put_back(&origin, old);
        drop(server);
        assert!(pool.take(&origin).is_none());
    }

    #[tokio::test]
    async fn so_many_are_kept_and_no_more() {
        let (pool, _, origin) = pool();
        let mut servers = Vec::new();
        for _ in 0..MOST_IDLE + 3 {
            let (connection, server) = used().await;
            servers.push(server);
            pool.put_back(&origin, connection);
        }
        let kept = std::iter::from_fn(|| pool.take(&origin)).count();
        assert_eq!(kept, MOST_IDLE);
    }
}

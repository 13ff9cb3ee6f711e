//! The simulation behind a socket.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use integration_core::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::{SimulatorConfig, SimulatorError};
use crate::simulation::{Outcome, SimulatedAnswer, SimulatedReply, SimulatedRequest, Simulation};
use crate::underway::Reading;
use crate::wire::Step;

/// How long a shutdown lets answers that are being sent finish.
const GRACE: Duration = Duration::from_secs(2);
/// How long the listener rests after the system refused it a connection, for want of file handles for instance.
const REST: Duration = Duration::from_millis(50);

/// A running simulator. Dropping it stops it at once; [`shutdown`](Self::shutdown) lets it finish what it is sending.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Starts to listen. When this returns, requests are answered.
    ///
    /// # Errors
    /// [`SimulatorError`] if the address is in use or not ours to listen on, or the bundled catalogue is damaged.
    ///
    /// # Cancellation
    /// Dropping the future before it is ready leaves nothing behind.
    pub async fn start(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let address = config.listen;
        let simulation = Arc::new(Simulation::new(config)?);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => SimulatorError::AddressInUse { address },
            _ => SimulatorError::Listen { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, simulation, stopped));
        Ok(Self {
            address,
            stop,
            accepting,
        })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What to put in place of `https://openrouter.ai/api/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// Stops listening, lets answers on their way finish for at most two seconds, and breaks off the rest.
    ///
    /// # Cancellation
    /// Dropping the future breaks off everything at once.
    pub async fn shutdown(mut self) {
        // Nobody listens to the signal only if the task has ended already.
        let _ = self.stop.send(true);
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The connections belong to the task and go with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, simulation: Arc<Simulation>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Taken from the set, so that it does not grow with the connections that have been.
            Some(_) = connections.join_next() => continue,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let (simulation, stopped) = (Arc::clone(&simulation), stopped.clone());
                connections.spawn(serve(socket, simulation, stopped));
            }
            Err(_) => {
                let _ = tokio::time::timeout(REST, std::future::pending::<()>()).await;
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, finish).await;
    connections.shutdown().await;
}

/// Serves one connection until it ends.
async fn serve(socket: TcpStream, simulation: Arc<Simulation>, mut stopped: watch::Receiver<bool>) {
    // Small writes go out at once: an event that waits for the next is no event.
    let _ = socket.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(Socket {
        stream: socket,
        reset: Arc::clone(&reset),
    });
    let stopping = stopped.clone();
    let service = service_fn(move |request| {
        let (simulation, reset, stopping) = (Arc::clone(&simulation), Arc::clone(&reset), stopping.clone());
        async move { respond(request, &simulation, &reset, stopping).await }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(io, service)
    );
    tokio::select! {
        // A connection that ends in an error has none to be told of it.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// The end of a connection on purpose: hyper drops it without another byte.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken on purpose")]
struct Broken;

type Body = BoxBody<Bytes, Broken>;

async fn respond(
    request: Request<Incoming>,
    simulation: &Arc<Simulation>,
    reset: &AtomicBool,
    mut stopped: watch::Receiver<bool>,
) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, simulation.config.body_limit)
        .collect()
        .await
        .map(|body| body.to_bytes())
    else {
        let path = head.uri.path();
        let asked = SimulatedRequest::new(head.method.as_str(), path);
        let SimulatedReply {
            outcome: Outcome::Answer(answer),
            ..
        } = simulation.too_large(&asked)
        else {
            return Err(Broken);
        };
        let mut response = response(answer, simulation, None);
        // The rest of the body is still on its way, and nobody will read it.
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut asked = SimulatedRequest::new(head.method.as_str(), path).with_body(&body);
    for (name, value) in &head.headers {
        if let Ok(value) = value.to_str() {
            asked = asked.with_header(name.as_str(), value);
        }
    }
    // From here on, to be dropped is to be left by the client.
    let (reply, reading) = simulation.open(&asked);
    if !reply.delay.is_zero() {
        tokio::select! {
            () = simulation.clock().sleep(reply.delay) => {}
            _ = stopped.wait_for(|stop| *stop) => return Err(Broken),
        }
    }
    match reply.outcome {
        Outcome::Answer(answer) => Ok(response(answer, simulation, Some(reading))),
        Outcome::Hang => {
            // Until the client goes, which drops this, or the simulator stops.
            let _ = stopped.wait_for(|stop| *stop).await;
            Err(Broken)
        }
        Outcome::Reset => {
            reset.store(true, Ordering::Relaxed);
            Err(Broken)
        }
    }
}

fn response(answer: SimulatedAnswer, simulation: &Simulation, reading: Option<Reading>) -> Response<Body> {
    let SimulatedAnswer {
        status,
        headers,
        steps,
    } = answer;
    // A body that is there as a whole says its length; everything else comes in chunks.
    let body = match <[Step; 1]>::try_from(steps) {
        Ok([Step::Send(bytes)]) => {
            if let Some(reading) = reading {
                reading.finish();
            }
            Full::new(bytes)
                .map_err(|never: Infallible| match never {})
                .boxed()
        }
        Ok(steps) => BodyExt::boxed(StreamBody::new(play(
            steps.into(),
            Arc::clone(simulation.clock()),
            reading,
        ))),
        Err(steps) => BodyExt::boxed(StreamBody::new(play(
            steps,
            Arc::clone(simulation.clock()),
            reading,
        ))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Plays the steps of a body in order. The answer has been read when its last bytes are handed on, so that whoever has them
/// finds the call in the books.
fn play(
    steps: Vec<Step>,
    clock: Arc<dyn Clock>,
    reading: Option<Reading>,
) -> impl Stream<Item = Result<Frame<Bytes>, Broken>> + Send + Sync {
    let steps = steps.into_iter();
    sync(stream::unfold(
        (steps, clock, reading),
        async |(mut steps, clock, mut reading)| {
            loop {
                let step = steps.next();
                if let (Some(reading), Some(step)) = (&mut reading, &step) {
                    reading.step(step);
                }
                let over = matches!(step, None | Some(Step::Send(_))) && steps.len() == 0;
                if let Some(reading) = reading.take_if(|_| over) {
                    reading.finish();
                }
                match step? {
                    Step::Wait(time) => clock.sleep(time).await,
                    Step::Send(bytes) => return Some((Ok(Frame::data(bytes)), (steps, clock, reading))),
                    Step::Made(_) => {}
                    Step::Stall => std::future::pending().await,
                    Step::Break => {
                        // What has been sent is written out before the end of the connection overtakes it.
                        tokio::task::yield_now().await;
                        return Some((Err(Broken), (Vec::new().into_iter(), clock, None)));
                    }
                }
            }
        },
    ))
}

/// Makes a stream shareable, as a boxed body has to be: it is polled through a mutable reference only.
fn sync<S: Stream + Send>(stream: S) -> impl Stream<Item = S::Item> + Send + Sync {
    struct Exclusive<S>(std::sync::Mutex<Pin<Box<S>>>);
    impl<S: Stream> Stream for Exclusive<S> {
        type Item = S::Item;
        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
            self.0
                .get_mut()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .as_mut()
                .poll_next(cx)
        }
    }
    Exclusive(std::sync::Mutex::new(Box::pin(stream)))
}

/// A socket that can be told to end in a reset instead of an end of file.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            // A shutdown would send the end of file that a reset does without.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

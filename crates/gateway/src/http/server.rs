//! The server: an accept loop of our own, because time limits on headers and a bounded stop need one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::days;

/// How long a client may take to send its request head; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections beyond this wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;

/// How long a client has to take the last piece of an answer that is cut off.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long settlements may take to be written at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// How long to wait when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the gateway does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another program has the port.
    #[error("{address} is in use by another program; stop that one, or choose another address with --listen")]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// Any other reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// [`ServeError`] says which other address to choose, or why.
    pub async fn bind(app: Arc<App>) -> Result<Self, ServeError> {
        let address = app.settings.listen;
        let listen = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address },
            _ => ServeError::Listen { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            app,
            listener,
            address,
        })
    }

    /// Where it listens: the port that was given out, where the settings say 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled. Then no new connection is taken, `/health/ready` answers 503 on the open ones,
    /// running answers go on for the drain time and then end with an error event, and every settlement is written, as far
    /// as the ledger takes it within five seconds.
    pub async fn run(self, stop: CancellationToken) {
        let Self { app, listener, .. } = self;
        let service = TowerToHyperService::new(super::router(Arc::clone(&app)));
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        tokio::spawn(reconcile(Arc::clone(&app), stop.clone()));
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(days::watch(Arc::clone(&app))),
        );
        loop {
            let slot = tokio::select! {
                () = stop.cancelled() => break,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let socket = match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    app.clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // A streamed piece is to leave at once, not to wait for a fuller packet.
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_headers(100);
            let connection = graceful.watch(http.serve_connection(TokioIo::new(socket), service.clone()));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(slot);
            });
        }
        app.drain();
        drop(listener);
        drain(&app, graceful).await;
    }
}

/// How far back it is looked at the start for attempts that are to be asked for.
const LOOK_BACK: Duration = Duration::from_secs(7 * 86_400);

/// Asks what attempts cost whose cost is not certain, and goes on asking until the gateway stops.
async fn reconcile(app: Arc<App>, stop: CancellationToken) {
    let look = async {
        match app
            .reconciler
            .enlist_since(app.clock.wall() - LOOK_BACK, false)
            .await
        {
            Ok(0) => {}
            Ok(enlisted) => {
                tracing::info!("the provider is asked what {enlisted} attempts of the last week cost")
            }
            Err(error) => tracing::warn!(%error, "the attempts of the last week cannot be looked through"),
        }
    };
    tokio::join!(stop.run_until_cancelled(look), app.reconciler.run(stop.clone()));
}

async fn drain(app: &App, graceful: GracefulShutdown) {
    let finished = graceful.shutdown();
    tokio::pin!(finished);
    let in_time = tokio::select! {
        () = &mut finished => true,
        () = app.clock.sleep(Duration::from_secs(app.settings.limits.drain_seconds)) => false,
        () = app.kill.cancelled() => false,
    };
    app.kill.cancel();
    if !in_time {
        // Streams end with an error event now; a client that does not read it is not waited for.
        tokio::select! {
            () = finished => {}
            () = app.clock.sleep(LAST_WORD) => {}
        }
    }
    tokio::select! {
        () = app.tasks.finished() => {}
        () = app.clock.sleep(LAST_WRITES) => tracing::error!("some settlements could not be written in time"),
    }
}

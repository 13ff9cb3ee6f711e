//! A server on this machine that answers with exactly the bytes a test asks for, good ones and bad ones.
//!
//! A test writes a [`Script`] for each request; [`ScriptedUpstream`] plays it over a plain socket, keeps what it was sent
//! ([`Received`]), and stops when dropped. Nothing in it waits for time to pass: a [`Gate`] holds an answer back until the
//! test opens it, and a stall lasts until the peer has gone.
//!
//! Moving over from a hand-written socket loop: `serve(handler)` becomes [`ScriptedUpstream::start`], whose closure
//! returns a script instead of writing to the socket; `answer(socket, text)` becomes `Script::new().send(text).cut()`,
//! or [`Script::json`] and its sisters where the text was a well-formed answer; `closed(socket)` becomes
//! [`Script::stall`], and the test waits with [`ScriptedUpstream::closed`].

mod connection;
mod gate;
mod received;
mod script;

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use gate::Gate;
pub use received::Received;
pub use script::Script;

/// A server that plays scripts. It needs a tokio runtime with I/O, and stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct ScriptedUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl ScriptedUpstream {
    /// Starts on a free port of this machine. `script` is asked once per request, after the whole request has been read.
    ///
    /// A connection is kept for a further request where an HTTP client may keep it: the script ran to its end, and its
    /// body had a known length that was kept. Otherwise it is closed. So it is after a request that cannot be read.
    ///
    /// `script` may assert: when it panics the connection is closed, and the panic goes on in whoever calls
    /// [`ScriptedUpstream::requests`], [`ScriptedUpstream::next_request`] or [`ScriptedUpstream::closed`] next, or drops
    /// the server.
    ///
    /// # Panics
    /// If no local port can be had.
    #[expect(clippy::expect_used, reason = "without a local port no test can run")]
    pub async fn start(script: impl Fn(&Received) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a local port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, Arc::clone(&shared), Arc::new(script)));
        Self {
            address,
            shared,
            task,
        }
    }

    /// Answers every request alike.
    ///
    /// # Panics
    /// If no local port can be had.
    pub async fn always(script: Script) -> Self {
        Self::start(move |_| script.clone()).await
    }

    /// Answers the first request with the first script and so on; the last one repeats. With none at all, every
    /// connection is closed without an answer.
    ///
    /// # Panics
    /// If no local port can be had.
    pub async fn sequence(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        let next = AtomicUsize::new(0);
        Self::start(move |_| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let script = scripts.get(at).or_else(|| scripts.last());
            script.cloned().unwrap_or_else(|| Script::new().cut())
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request read so far, in order, taken or not.
    ///
    /// # Panics
    /// If the script's closure did.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.resume_panic();
        self.shared.state().requests.clone()
    }

    /// Waits for the next request that has not been taken yet. Dropping the future takes none.
    ///
    /// # Panics
    /// If the script's closure did.
    pub async fn next_request(&self) -> Received {
        self.shared
            .until(|state| {
                let request = state.requests.get(state.taken).cloned()?;
                state.taken += 1;
                Some(request)
            })
            .await
    }

    /// Whether [`ScriptedUpstream::next_request`] would return at once.
    pub fn has_untaken(&self) -> bool {
        let state = self.shared.state();
        state.taken < state.requests.len()
    }

    /// Waits until the peer has closed a connection that a script left open: in a stall, at a gate, or in the middle of
    /// what it was being sent. Each closing is told once; one that has happened already is told at once.
    ///
    /// # Panics
    /// If the script's closure did.
    pub async fn closed(&self) {
        self.shared
            .until(|state| {
                state.closed = state.closed.checked_sub(1)?;
                Some(())
            })
            .await;
    }

    /// How many connections have been accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }
}

impl Drop for ScriptedUpstream {
    fn drop(&mut self) {
        self.task.abort();
        if !std::thread::panicking() {
            self.shared.resume_panic();
        }
    }
}

type Answer = Arc<dyn Fn(&Received) -> Script + Send + Sync>;

async fn accept(listener: TcpListener, shared: Arc<Shared>, answer: Answer) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    shared.update(|state| state.connections += 1);
                    connections.spawn(connection::serve(socket, Arc::clone(&shared), Arc::clone(&answer)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Received>,
    taken: usize,
    closed: usize,
    connections: usize,
    /// The first panic of the script's closure, until it has gone on in the test.
    panic: Option<Box<dyn Any + Send>>,
}

/// What the connections tell the test.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    /// Lets a panic of the script's closure go on here.
    fn resume_panic(&self) {
        let panic = self.state().panic.take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> impl Future<Output = T> {
        // Subscribed before the first look, so that no change can fall between look and wait.
        let mut changes = self.changed.subscribe();
        async move {
            loop {
                self.resume_panic();
                if let Some(found) = ready(&mut self.state()) {
                    return found;
                }
                // The sender lives as long as `self`.
                let _ = changes.changed().await;
            }
        }
    }
}

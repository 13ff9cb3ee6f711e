//! One connection: reads requests, plays scripts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::script::{End, Framing, LAST_CHUNK, Step, pieces};
use super::{Answer, Received, Script, Shared};

/// How a script left its connection.
enum Left {
    /// Fit for a further request.
    Open,
    Ended(End),
    /// The peer closed it first.
    PeerGone,
}

pub(super) async fn serve(socket: TcpStream, shared: Arc<Shared>, answer: Answer) {
    // Pieces leave one by one, not gathered.
    let _ = socket.set_nodelay(true);
    let mut connection = Connection {
        socket,
        unread: Vec::new(),
    };
    while let Some(request) = connection.read_request().await {
        shared.update(|state| state.requests.push(request.clone()));
        // A test's assertion may be in there; whoever asks the server next is told.
        let script = match catch_unwind(AssertUnwindSafe(|| answer(&request))) {
            Ok(script) => script,
            Err(panic) => return shared.update(|state| state.panic = state.panic.take().or(Some(panic))),
        };
        match connection.play(&script, &request).await {
            Left::Open if !request.asks_to_close() => {}
            Left::Open | Left::Ended(End::Fin) => return connection.finish().await,
            Left::Ended(End::Reset) => {
                // Dropped like this, the kernel sends RST.
                let _ = connection.socket.set_zero_linger();
                return;
            }
            Left::Ended(End::Silence) => {
                connection.peer_gone().await;
                return shared.update(|state| state.closed += 1);
            }
            Left::PeerGone => return shared.update(|state| state.closed += 1),
        }
    }
}

struct Connection {
    socket: TcpStream,
    /// What came beyond the last request.
    unread: Vec<u8>,
}

impl Connection {
    /// `None` when the peer has gone, breaks off in the middle of a request, or sends one that cannot be read.
    async fn read_request(&mut self) -> Option<Received> {
        let mut told_to_continue = false;
        loop {
            if let Some(request) = Received::take(&mut self.unread).ok()? {
                return Some(request);
            }
            if !told_to_continue && Received::expects_continue(&self.unread) {
                told_to_continue = true;
                self.socket
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .await
                    .ok()?;
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Whether the peer is still there.
    async fn read_more(&mut self) -> bool {
        matches!(self.socket.read_buf(&mut self.unread).await, Ok(1..))
    }

    async fn peer_gone(&mut self) {
        while self.read_more().await {}
    }

    async fn play(&mut self, script: &Script, request: &Received) -> Left {
        let mut framing = Framing::Raw;
        let mut sent_of_body = 0;
        let mut left = script.limit;
        for step in &script.steps {
            match step {
                Step::Head(head) => {
                    framing = head.framing;
                    sent_of_body = 0;
                    if let Some(left) = self.write(&head.to_bytes(), &mut left).await {
                        return left;
                    }
                }
                // An answer to HEAD has a body's head only.
                Step::Send { bytes, .. } if request.method == "HEAD" && framing != Framing::Raw => {
                    sent_of_body += bytes.len();
                }
                Step::Send { bytes, piece, times } => {
                    for piece in pieces(bytes, *piece, *times) {
                        sent_of_body += piece.len();
                        if let Some(left) = self.write(&framing.frame(piece), &mut left).await {
                            return left;
                        }
                    }
                }
                Step::Wait(gate) => {
                    tokio::select! {
                        biased;
                        () = gate.opened() => {}
                        () = self.peer_gone() => return Left::PeerGone,
                    }
                }
                Step::WaitForBytes => {
                    if self.unread.is_empty() && self.socket.peek(&mut [0]).await.unwrap_or(0) == 0 {
                        return Left::PeerGone;
                    }
                }
                Step::End(end) => return Left::Ended(*end),
            }
        }
        match framing {
            Framing::Length(length) if length == sent_of_body => Left::Open,
            Framing::None if sent_of_body == 0 => Left::Open,
            Framing::Chunked if request.method == "HEAD" => Left::Open,
            Framing::Chunked => self.write(LAST_CHUNK, &mut left).await.unwrap_or(Left::Open),
            _ => Left::Ended(End::Fin),
        }
    }

    /// Sends bytes, as many as the limit leaves. `Some` when the connection is at its end.
    async fn write(&mut self, bytes: &[u8], limit: &mut Option<(usize, End)>) -> Option<Left> {
        let allowed = limit.map_or(bytes.len(), |(left, _)| left.min(bytes.len()));
        if self.socket.write_all(&bytes[..allowed]).await.is_err() {
            return Some(Left::PeerGone);
        }
        // Lets the peer's task run between pieces where both share a thread.
        tokio::task::yield_now().await;
        if let Some((left, end)) = limit {
            *left -= allowed;
            return (*left == 0).then_some(Left::Ended(*end));
        }
        None
    }

    /// Closes in order: what the peer still sends is read, so that the kernel does not turn the close into a reset.
    async fn finish(mut self) {
        if self.socket.shutdown().await.is_ok() {
            self.peer_gone().await;
        }
    }
}

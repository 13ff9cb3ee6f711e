//! A socket that can be asked whether its other end has closed it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// While it is set, reading from the socket tells whether there is anything, and takes nothing.
///
/// The runtime looks at its sockets now and then. A connection that was closed a moment ago would still look open to it, and a
/// request would go out that may or may not have been processed. The kernel knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe(Arc<AtomicBool>);

impl Probe {
    /// Runs `look` with the socket in this state.
    pub(crate) fn during<T>(&self, look: impl FnOnce() -> T) -> T {
        self.0.store(true, Ordering::Relaxed);
        let seen = look();
        self.0.store(false, Ordering::Relaxed);
        seen
    }
}

#[derive(Debug)]
pub(crate) struct ProbedSocket {
    stream: TcpStream,
    probe: Probe,
}

impl ProbedSocket {
    pub(crate) fn new(stream: TcpStream, probe: Probe) -> Self {
        Self { stream, probe }
    }
}

impl AsyncRead for ProbedSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.probe.0.load(Ordering::Relaxed) {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        match SockRef::from(&this.stream).peek(&mut [MaybeUninit::uninit()]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            // Its end, or what nobody has asked for: as good as its end.
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for ProbedSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::task::Waker;

    use super::*;

    /// No await between the other end's deed and the look: the runtime has not looked at the socket.
    #[tokio::test]
    async fn f59_what_the_other_end_did_is_known_before_the_runtime_knows() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (deed, open) in [(0, true), (1, false), (2, false)] {
            let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            let probe = Probe::default();
            let mut socket = ProbedSocket::new(ours, probe.clone());
            let mut look = || {
                let mut space = [0; 8];
                let mut buffer = ReadBuf::new(&mut space);
                let mut cx = Context::from_waker(Waker::noop());
                let seen = probe.during(|| Pin::new(&mut socket).poll_read(&mut cx, &mut buffer));
                assert!(buffer.filled().is_empty());
                seen.is_pending()
            };
            assert!(look());
            match deed {
                0 => {}
                1 => drop(theirs),
                _ => theirs.write_all(b"HTTP/1.1 408 Request Timeout").unwrap(),
            }
            assert_eq!(look(), open, "{deed}");
        }
    }
}

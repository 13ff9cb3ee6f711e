//! A server of raw bytes on this machine.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reads one request; `None` when the other side has gone.
pub(crate) async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next());
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Serves every connection with `handle`, which gets the socket after the first request has been read.
pub(crate) async fn serve<F, T>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream, String) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let handle = Arc::clone(&handle);
            tokio::spawn(async move {
                if let Some(request) = read_request(&mut socket).await {
                    handle(socket, request).await;
                }
            });
        }
    });
    address
}

/// Sends bytes and closes.
pub(crate) async fn answer(mut socket: TcpStream, text: &str) {
    let _ = socket.write_all(text.as_bytes()).await;
}

/// Waits until the other side has closed.
pub(crate) async fn closed(mut socket: TcpStream) {
    let mut bytes = [0; 64];
    while matches!(socket.read(&mut bytes).await, Ok(1..)) {}
}

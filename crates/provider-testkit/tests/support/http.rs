//! HTTP over a plain socket: as much as the client needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_core::{Clock, Delivery, Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// From one piece of the answer to the next.
const IDLE: Duration = Duration::from_secs(60);

pub struct Request<'a> {
    pub url: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// When all must be over.
    pub until: Instant,
    pub no_deadline: bool,
}

/// An answer whose head has been read.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    socket: TcpStream,
    unread: Vec<u8>,
    framing: Framing,
    clock: Arc<dyn Clock>,
    pub until: Instant,
    pub no_deadline: bool,
}

#[derive(Clone, Copy)]
enum Framing {
    Left(usize),
    Chunked,
    UntilClose,
    Over,
}

fn broken(delivery: Delivery, why: impl ToString) -> Error {
    let kind = match delivery {
        Delivery::Partial => ErrorKind::Truncated,
        _ => ErrorKind::Transport,
    };
    Error::new(kind, why.to_string()).with_delivery(delivery)
}

/// Waits for the network, no longer than allowed.
async fn within<T>(
    clock: &Arc<dyn Clock>,
    until: Instant,
    no_deadline: bool,
    delivery: Delivery,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Error> {
    let late = || Error::new(ErrorKind::Timeout, "it took too long").with_delivery(delivery);
    if no_deadline {
        return work.await.map_err(|error| broken(delivery, error));
    }
    let left = until.saturating_duration_since(clock.now());
    if left.is_zero() {
        return Err(late());
    }
    tokio::select! {
        done = work => done.map_err(|error| broken(delivery, error)),
        () = clock.sleep(left.min(IDLE)) => Err(late()),
    }
}

pub async fn send(request: Request<'_>, clock: Arc<dyn Clock>) -> Result<Answer, Error> {
    let host = request.url.trim_start_matches("http://");
    let (until, no_deadline) = (request.until, request.no_deadline);
    let connect = TcpStream::connect(host);
    let mut socket = within(&clock, until, no_deadline, Delivery::NotSent, connect).await?;
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = request.body.unwrap_or_default();
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    let sent = Delivery::MaybeSent;
    within(
        &clock,
        until,
        no_deadline,
        sent,
        socket.write_all(head.as_bytes()),
    )
    .await?;
    let mut unread = Vec::new();
    let end = loop {
        if let Some(end) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if within(&clock, until, no_deadline, sent, socket.read_buf(&mut unread)).await? == 0 {
            return Err(broken(sent, "the connection ended before the answer"));
        }
    };
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    unread.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status: status.unwrap_or(0),
        headers,
        socket,
        unread,
        framing: Framing::UntilClose,
        clock,
        until,
        no_deadline,
    };
    let length = answer
        .header("content-length")
        .and_then(|length| length.parse().ok());
    answer.framing = match (answer.header("transfer-encoding"), length, answer.status) {
        (_, _, 204 | 304) => Framing::Over,
        (Some("chunked"), ..) => Framing::Chunked,
        (_, Some(length), _) => Framing::Left(length),
        _ => Framing::UntilClose,
    };
    Ok(answer)
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether more came.
    async fn more(&mut self) -> Result<bool, Error> {
        let read = self.socket.read_buf(&mut self.unread);
        let count = within(&self.clock, self.until, self.no_deadline, Delivery::Partial, read).await?;
        Ok(count > 0)
    }

    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            match self.framing {
                Framing::Over | Framing::Left(0) => return Ok(None),
                Framing::Left(left) if !self.unread.is_empty() => {
                    let count = left.min(self.unread.len());
                    self.framing = Framing::Left(left - count);
                    return Ok(Some(self.unread.drain(..count).collect()));
                }
                Framing::UntilClose if !self.unread.is_empty() => {
                    return Ok(Some(std::mem::take(&mut self.unread)));
                }
                Framing::Chunked => {
                    let line = self.unread.windows(2).position(|bytes| bytes == b"\r\n");
                    if let Some(line) = line {
                        let size = String::from_utf8_lossy(&self.unread[..line]).into_owned();
                        let size = usize::from_str_radix(&size, 16)
                            .map_err(|error| broken(Delivery::Partial, error))?;
                        if self.unread.len() >= line + 2 + size + 2 {
                            let piece = self.unread[line + 2..line + 2 + size].to_vec();
                            self.unread.drain(..line + 2 + size + 2);
                            if size == 0 {
                                self.framing = Framing::Over;
                            }
                            return Ok((size > 0).then_some(piece));
                        }
                    }
                }
                _ => {}
            }
            if !self.more().await? {
                return match self.framing {
                    Framing::UntilClose => Ok(None),
                    _ => Err(broken(Delivery::Partial, "the connection ended in the body")),
                };
            }
        }
    }

    /// The whole body.
    pub async fn whole(&mut self, cap: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend(piece);
            if body.len() > cap {
                return Err(too_large());
            }
        }
        Ok(body)
    }
}

pub fn too_large() -> Error {
    Error::new(ErrorKind::Protocol, "the answer is too large").with_delivery(Delivery::Partial)
}

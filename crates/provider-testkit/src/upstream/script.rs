//! What a server does once it has read a request.

use std::fmt;

use super::Gate;

/// What happens after a request has been read: steps, played in order.
///
/// There are two ways to write one. [`Script::new`] followed by [`Script::send`] plays raw bytes: the test writes the
/// status line and everything after it. [`Script::json`] and its sisters begin with a well-formed head; what is sent
/// after it belongs to the body and is framed as the head says.
///
/// ```
/// use provider_testkit::upstream::Script;
/// // The first event, then silence.
/// let stalls = Script::sse([r#"{"id":"gen-1"}"#]).stall();
/// // A body cut in the middle.
/// let cut = Script::json(200, r#"{"id":"gen-1"}"#).cut_after(60);
/// # let _ = (stalls, cut);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) limit: Option<(usize, End)>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Head(Head),
    Send {
        bytes: Vec<u8>,
        piece: usize,
        times: usize,
    },
    Wait(Gate),
    WaitForBytes,
    End(End),
}

/// How the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
    /// Not at all: silence until the peer has gone.
    Silence,
}

#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// No head: the test writes every byte.
    Raw,
    /// A head that has no body by its status.
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Script {
    /// Raw bytes, still none. Left like this, the connection is closed without an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A complete answer of type `application/json`. The body need not be JSON.
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::whole(status, "application/json", body.to_string())
    }

    /// A complete answer of type `text/html`.
    pub fn html(status: u16, body: impl ToString) -> Self {
        Self::whole(status, "text/html; charset=utf-8", body.to_string())
    }

    /// A complete answer of any type, with its length told beforehand.
    pub fn whole(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = Self::head(status, Framing::Length(body.len()));
        head.with_header("content-type", media_type).send(body)
    }

    /// An answer without a body and without a type: 204 and 304 as they must be, any other status with a length of 0.
    pub fn empty(status: u16) -> Self {
        let framing = match status {
            100..=199 | 204 | 304 => Framing::None,
            _ => Framing::Length(0),
        };
        Self::head(status, framing)
    }

    /// An answer that points elsewhere.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::empty(status).with_header("location", location)
    }

    /// A stream of status 200: each event becomes `data: …` and an empty line (an event of several lines, several `data:`
    /// lines), sent in a chunk of its own. `[DONE]` is not added. [`Script::send`] and [`Script::drip`] go on with it, and
    /// unless [`Script::stall`], [`Script::cut`] or [`Script::reset`] end it, it ends properly.
    pub fn sse(events: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let start = Self::chunked(200, "text/event-stream");
        events
            .into_iter()
            .fold(start, |script, event| script.event(event.as_ref()))
    }

    /// One more event of a stream.
    pub fn event(self, event: &str) -> Self {
        self.send(sse_event(event))
    }

    /// The head of an answer whose body comes in chunks, one for each [`Script::send`] and for each piece of a
    /// [`Script::drip`]: an HTTP client sees the pieces as they were cut here.
    pub fn chunked(status: u16, media_type: &str) -> Self {
        Self::head(status, Framing::Chunked).with_header("content-type", media_type)
    }

    /// The head of an answer whose body ends when the connection does.
    pub fn until_close(status: u16, media_type: &str) -> Self {
        Self::head(status, Framing::UntilClose).with_header("content-type", media_type)
    }

    fn head(status: u16, framing: Framing) -> Self {
        let headers = Vec::new();
        Self::new().step(Step::Head(Head {
            status,
            headers,
            framing,
        }))
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The last head; raw bytes get one in front.
    fn change_head(mut self, change: impl FnOnce(&mut Head)) -> Self {
        if self.last_head().is_none() {
            let head = Head {
                status: 200,
                headers: Vec::new(),
                framing: Framing::Chunked,
            };
            self.steps.insert(0, Step::Head(head));
        }
        if let Some(head) = self.last_head() {
            change(head);
        }
        self
    }

    fn last_head(&mut self) -> Option<&mut Head> {
        self.steps.iter_mut().rev().find_map(|step| match step {
            Step::Head(head) => Some(head),
            _ => None,
        })
    }

    /// Sets a header of the last head; one of the same name is replaced. To send a header twice, use
    /// [`Script::add_header`]. Raw bytes without a head get one in front, of status 200 and chunked.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Some(head) = self.last_head() {
            head.headers
                .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        }
        self.add_header(name, value)
    }

    /// Adds a header to the last head, whether or not there is one of the same name.
    pub fn add_header(self, name: &str, value: &str) -> Self {
        self.change_head(|head| head.headers.push((name.to_owned(), value.to_owned())))
    }

    /// Sends bytes: of the body after a head, raw otherwise.
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send_times(bytes, 1)
    }

    /// Sends the same bytes many times: a body too large for anyone, without holding it in memory.
    pub fn send_times(self, bytes: impl Into<Vec<u8>>, times: usize) -> Self {
        self.step(Step::Send {
            bytes: bytes.into(),
            piece: usize::MAX,
            times,
        })
    }

    /// Sends bytes in pieces of `piece` bytes (at least 1), each written on its own; after the head of a stream each is a
    /// chunk of its own, so that the client surely sees them apart.
    pub fn drip(self, bytes: impl Into<Vec<u8>>, piece: usize) -> Self {
        self.step(Step::Send {
            bytes: bytes.into(),
            piece: piece.max(1),
            times: 1,
        })
    }

    /// Silence until the peer has gone.
    pub fn stall(self) -> Self {
        self.step(Step::End(End::Silence))
    }

    /// Silence until the test opens the gate.
    pub fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Wait(gate.clone()))
    }

    /// Silence until the peer sends something more, which is left unread: after a complete answer, the next request on a
    /// kept connection. Followed by [`Script::reset`], it plays a server that closes an idle connection at the very
    /// moment it is used again; such a request is not among those received.
    pub fn wait_for_bytes(self) -> Self {
        self.step(Step::WaitForBytes)
    }

    /// Closes the connection (FIN). A body that is not complete is cut off.
    pub fn cut(self) -> Self {
        self.step(Step::End(End::Fin))
    }

    /// Breaks the connection (RST).
    pub fn reset(self) -> Self {
        self.step(Step::End(End::Reset))
    }

    /// Closes the connection (FIN) once `bytes` bytes have been sent, head and framing included, whatever else is asked
    /// for.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.limit = Some((bytes, End::Fin));
        self
    }

    /// Breaks the connection (RST) once `bytes` bytes have been sent, head and framing included.
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.limit = Some((bytes, End::Reset));
        self
    }

    /// Falls silent once `bytes` bytes have been sent, head and framing included, until the peer has gone.
    pub fn stall_after(mut self, bytes: usize) -> Self {
        self.limit = Some((bytes, End::Silence));
        self
    }

    /// Declares a body of `declared` bytes, whatever its length is. The connection is closed after what there is. Raw
    /// bytes without a head get one in front, of status 200.
    pub fn wrong_length(self, declared: usize) -> Self {
        self.change_head(|head| head.framing = Framing::Length(declared))
    }

    /// Plays the steps of another script after these, such as an answer after a wait.
    pub fn then(mut self, next: Self) -> Self {
        self.steps.extend(next.steps);
        self.limit = next.limit.or(self.limit);
        self
    }

    /// Every byte this script sends to a peer that stays to the end, with all gates open.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut framing = Framing::Raw;
        let mut ended = false;
        for step in &self.steps {
            match step {
                Step::Head(head) => {
                    framing = head.framing;
                    bytes.extend(head.to_bytes());
                }
                Step::Send {
                    bytes: body,
                    piece,
                    times,
                } => {
                    for piece in pieces(body, *piece, *times) {
                        bytes.extend(framing.frame(piece));
                    }
                }
                Step::Wait(_) | Step::WaitForBytes => {}
                Step::End(_) => {
                    ended = true;
                    break;
                }
            }
        }
        if !ended && framing == Framing::Chunked {
            bytes.extend_from_slice(LAST_CHUNK);
        }
        if let Some((limit, _)) = self.limit {
            bytes.truncate(limit);
        }
        bytes
    }
}

/// The steps in words, bodies as far as they are short.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        f.write_str("Script[")?;
        for (i, step) in self.steps.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            match step {
                Step::Head(head) => write!(f, "head {} {:?}", head.status, head.framing)?,
                Step::Send { bytes, piece, times } => {
                    let shown = &bytes[..bytes.len().min(SHOWN)];
                    write!(f, "send {} bytes \"{}\"", bytes.len(), shown.escape_ascii())?;
                    if *piece < bytes.len() {
                        write!(f, " in pieces of {piece}")?;
                    }
                    if *times != 1 {
                        write!(f, " {times} times")?;
                    }
                }
                Step::Wait(gate) => write!(f, "wait for {gate:?}")?,
                Step::WaitForBytes => f.write_str("wait for bytes")?,
                Step::End(end) => f.write_str(end.word())?,
            }
        }
        if let Some((after, end)) = &self.limit {
            write!(f, "; {} after {after} bytes", end.word())?;
        }
        f.write_str("]")
    }
}

pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// `data:` lines and the empty line that ends the event.
fn sse_event(event: &str) -> String {
    let lines: String = event.split('\n').map(|line| format!("data: {line}\n")).collect();
    lines + "\n"
}

/// A body in pieces, as often as asked; none of an empty one.
pub(super) fn pieces(body: &[u8], piece: usize, times: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::repeat_n(body, times).flat_map(move |body| body.chunks(piece))
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Fin => "cut",
            Self::Reset => "reset",
            Self::Silence => "stall",
        }
    }
}

impl Framing {
    /// The bytes of the body as they go over the wire.
    pub(super) fn frame(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Chunked => {
                let mut framed = format!("{:x}\r\n", body.len()).into_bytes();
                framed.extend_from_slice(body);
                framed.extend_from_slice(b"\r\n");
                framed
            }
            _ => body.to_vec(),
        }
    }
}

impl Head {
    /// The head as it goes over the wire. A header the script sets itself wins over the one that the framing asks for.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut line = |name: &str, value: &str| {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        };
        let sets = |name: &str| {
            self.headers
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        for (name, value) in &self.headers {
            line(name, value);
        }
        match self.framing {
            Framing::Length(length) if !sets("content-length") => line("content-length", &length.to_string()),
            Framing::Chunked if !sets("transfer-encoding") => line("transfer-encoding", "chunked"),
            Framing::UntilClose if !sets("connection") => line("connection", "close"),
            _ => {}
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

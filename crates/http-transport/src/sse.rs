//! Server-sent events, decoded without I/O: bytes go in as they arrive, events come out.
//!
//! Follows the WHATWG algorithm. The same bytes give the same events however they are cut into pieces; work is linear in the
//! bytes, whatever the pieces; every byte is limited.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};

/// How large a stream and its parts may be, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SseLimits {
    /// One line without its end. 1 MiB unless set.
    pub line: usize,
    /// The data of one event, its lines joined. 4 MiB unless set.
    pub event: usize,
    /// The whole stream. 64 MiB unless set.
    pub total: u64,
}

impl Default for SseLimits {
    fn default() -> Self {
        Self {
            line: 1 << 20,
            event: 4 << 20,
            total: 64 << 20,
        }
    }
}

impl SseLimits {
    /// Sets the longest line.
    #[must_use]
    pub fn with_line(mut self, bytes: usize) -> Self {
        self.line = bytes;
        self
    }

    /// Sets the largest event.
    #[must_use]
    pub fn with_event(mut self, bytes: usize) -> Self {
        self.event = bytes;
        self
    }

    /// Sets the longest stream.
    #[must_use]
    pub fn with_total(mut self, bytes: u64) -> Self {
        self.total = bytes;
        self
    }
}

/// A stream that is larger than it may be. The decoder stays failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// A line is too long.
    #[error("a line of the event stream is longer than {limit} bytes")]
    LineTooLong {
        /// The limit it broke.
        limit: usize,
    },
    /// An event is too large.
    #[error("an event of the stream is larger than {limit} bytes")]
    EventTooLarge {
        /// The limit it broke.
        limit: usize,
    },
    /// The stream is too long.
    #[error("the event stream is longer than {limit} bytes")]
    StreamTooLong {
        /// The limit it broke.
        limit: u64,
    },
}

/// One event. Its data is a slice of the bytes that were fed wherever one piece held the whole line.
#[derive(Clone, PartialEq, Eq)]
pub struct SseEvent {
    name: Option<Box<str>>,
    data: Bytes,
    id: Option<Arc<str>>,
}

impl SseEvent {
    /// The event's type; `message` where the stream gives none.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("message")
    }

    /// The data as bytes. They are valid UTF-8: what was not has been replaced by U+FFFD.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The data as text.
    pub fn text(&self) -> &str {
        // Valid by construction; the empty string is unreachable.
        std::str::from_utf8(&self.data).unwrap_or_default()
    }

    /// The last id the stream gave, in this event or an earlier one.
    pub fn last_event_id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// The data lines of the event being read.
#[derive(Default)]
enum Data {
    #[default]
    None,
    /// One line: nearly always the case, and kept as a slice of what was fed.
    One(Line),
    Many(BytesMut),
}

#[derive(Default)]
struct Line {
    bytes: Bytes,
    /// Known to be UTF-8.
    checked: bool,
}

/// The beginning of a line whose end has not come.
#[derive(Default)]
struct Begun {
    bytes: BytesMut,
    /// How much of it is known to be UTF-8. A long line that comes in pieces is checked as they come, while they are at hand
    /// in the processor's cache: a second walk over all of it is what would make pieces dear.
    checked: usize,
    invalid: bool,
}

/// Adds to a buffer that may hold `limit` bytes at the most.
///
/// Each growth copies, and holds the old bytes beside the new. So a short buffer is doubled, and a long one, which is rare,
/// goes to the limit or a thirty-second of it, and so on: what is held beside is 32 KiB, or a thirty-second of the limit where
/// that is more. What a buffer has not been filled with costs addresses but no memory.
fn append(buffer: &mut BytesMut, piece: &[u8], limit: usize) {
    const SHORT: usize = 32 << 10;
    let needed = buffer.len().saturating_add(piece.len());
    if needed > buffer.capacity() {
        let room = if needed <= SHORT {
            (needed * 2).min(SHORT)
        } else {
            let mut room = limit.max(needed);
            while room / 32 >= needed {
                room /= 32;
            }
            room
        };
        // Not `reserve`, which may take twice as much.
        let mut grown = BytesMut::with_capacity(room);
        grown.extend_from_slice(buffer);
        *buffer = grown;
    }
    buffer.extend_from_slice(piece);
}

impl Begun {
    fn extend(&mut self, piece: &[u8], limit: usize) {
        append(&mut self.bytes, piece, limit);
        if !self.invalid {
            match std::str::from_utf8(&self.bytes[self.checked..]) {
                Ok(_) => self.checked = self.bytes.len(),
                Err(error) => {
                    self.checked += error.valid_up_to();
                    self.invalid = error.error_len().is_some();
                }
            }
        }
    }

    fn take(&mut self) -> Line {
        let begun = std::mem::take(self);
        let checked = begun.checked == begun.bytes.len();
        Line {
            bytes: begun.bytes.freeze(),
            checked,
        }
    }
}

/// The most kept of what is no event stream.
const MAX_STRAY: usize = 64 << 10;

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// The decoder. Feed a piece, take events until there is none, feed the next piece.
///
/// ```
/// use http_transport::sse::SseDecoder;
/// let mut decoder = SseDecoder::default();
/// decoder.feed(": keep-alive\n\ndata: {\"a\"".into());
/// assert_eq!(decoder.next_event()?, None);
/// decoder.feed(":1}\n\n".into());
/// assert_eq!(decoder.next_event()?.expect("complete").text(), "{\"a\":1}");
/// # Ok::<(), http_transport::sse::SseError>(())
/// ```
#[derive(Default)]
pub struct SseDecoder {
    limits: SseLimits,
    /// What was fed and not read yet.
    unread: Bytes,
    line: Begun,
    data: Data,
    name: Option<Box<str>>,
    id: Option<Arc<str>>,
    retry: Option<Duration>,
    /// How many bytes of a byte order mark have matched; 3 once that is decided.
    bom: u8,
    /// The last line ended with CR: a LF right after it belongs to it.
    after_cr: bool,
    /// Bytes taken in so far.
    taken: u64,
    /// More bytes came than the stream may have; those up to the limit are still decoded.
    overflow: bool,
    /// Whether an event has come.
    spoken: bool,
    /// Lines in place of events that look like another kind of document.
    stray: Vec<u8>,
    failed: Option<SseError>,
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }
}

/// Shows how much there is of what a stream said, never what.
impl fmt::Debug for SseEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseEvent")
            .field("name_bytes", &self.name.as_deref().map(str::len))
            .field("data_bytes", &self.data.len())
            .field("id_bytes", &self.id.as_deref().map(str::len))
            .finish()
    }
}

/// Shows how much there is of what a stream said, never what.
impl fmt::Debug for SseDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseDecoder")
            .field("limits", &self.limits)
            .field("taken", &self.taken)
            .field("unread_bytes", &self.unread.len())
            .field("line_bytes", &self.line.bytes.len())
            .field("data_bytes", &self.data.len())
            .field("name_bytes", &self.name.as_deref().map(str::len))
            .field("id_bytes", &self.id.as_deref().map(str::len))
            .field("retry", &self.retry)
            .field("stray_bytes", &self.stray.len())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl SseDecoder {
    /// A decoder with its own limits.
    pub fn new(limits: SseLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes the next bytes. Take all events out before feeding more; otherwise the rest is copied together. A decoder that has
    /// failed takes nothing more.
    pub fn feed(&mut self, mut piece: Bytes) {
        if self.failed.is_some() {
            return;
        }
        let room = self.limits.total - self.taken.min(self.limits.total);
        if piece.len() as u64 > room {
            piece.truncate(room as usize);
            self.overflow = true;
        }
        self.taken += piece.len() as u64;
        if self.unread.is_empty() {
            self.unread = piece;
        } else {
            let mut joined = BytesMut::with_capacity(self.unread.len() + piece.len());
            joined.extend_from_slice(&self.unread);
            joined.extend_from_slice(&piece);
            self.unread = joined.freeze();
        }
    }

    /// The next event; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`SseError`] if a limit is broken; then at every further call.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let outcome = self.advance();
        if let Err(error) = outcome {
            self.failed = Some(error);
            // Nobody will ask for these again.
            self.unread = Bytes::new();
            self.line = Begun::default();
            self.data = Data::None;
        }
        outcome
    }

    fn advance(&mut self) -> Result<Option<SseEvent>, SseError> {
        if self.bom < 3 {
            self.skip_bom();
        }
        while !self.unread.is_empty() {
            if std::mem::take(&mut self.after_cr) && self.unread[0] == b'\n' {
                self.unread.advance(1);
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', &self.unread) else {
                self.check_line(self.unread.len())?;
                self.line.extend(&self.unread, self.limits.line);
                self.unread = Bytes::new();
                break;
            };
            self.check_line(end)?;
            self.after_cr = self.unread[end] == b'\r';
            if end == 0 && self.line.bytes.is_empty() {
                self.unread.advance(1);
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
                continue;
            }
            if let Some(event) = self.whole_event(end)? {
                return Ok(Some(event));
            }
            let line = if self.line.bytes.is_empty() {
                Line {
                    bytes: self.unread.split_to(end),
                    checked: false,
                }
            } else {
                self.line.extend(&self.unread[..end], self.limits.line);
                self.unread.advance(end);
                self.line.take()
            };
            self.unread.advance(1);
            self.read_field(line)?;
        }
        if self.overflow && self.unread.is_empty() {
            return Err(SseError::StreamTooLong {
                limit: self.limits.total,
            });
        }
        Ok(None)
    }

    /// The usual event, taken in one step: a single line of data and an empty line, all there. `end`: where its first line
    /// ends.
    fn whole_event(&mut self, end: usize) -> Result<Option<SseEvent>, SseError> {
        let alone = self.line.bytes.is_empty() && matches!(self.data, Data::None) && self.name.is_none();
        if !alone || self.unread.get(end..end + 2) != Some(b"\n\n") || !self.unread.starts_with(b"data:") {
            return Ok(None);
        }
        let start = if self.unread[5] == b' ' { 6 } else { 5 };
        let limit = self.limits.event;
        if end - start > limit {
            return Err(SseError::EventTooLarge { limit });
        }
        let mut bytes = self.unread.split_to(end);
        self.unread.advance(2);
        bytes.advance(start);
        Ok(Some(self.event(
            None,
            Line {
                bytes,
                checked: false,
            },
        )))
    }

    /// Drops one byte order mark at the very start, even if it comes byte by byte.
    fn skip_bom(&mut self) {
        while self.bom < 3 && !self.unread.is_empty() {
            let matched = usize::from(self.bom);
            if self.unread[0] == BOM[matched] {
                self.unread.advance(1);
                self.bom += 1;
            } else {
                self.line.extend(&BOM[..matched], self.limits.line);
                self.bom = 3;
            }
        }
    }

    fn check_line(&self, more: usize) -> Result<(), SseError> {
        let limit = self.limits.line;
        if self.line.bytes.len().saturating_add(more) > limit {
            Err(SseError::LineTooLong { limit })
        } else {
            Ok(())
        }
    }

    fn read_field(&mut self, mut line: Line) -> Result<(), SseError> {
        let bytes = &line.bytes;
        let name_end = memchr(b':', bytes).unwrap_or(bytes.len());
        let mut value_at = (name_end + 1).min(bytes.len());
        if bytes.get(value_at) == Some(&b' ') {
            value_at += 1;
        }
        match &bytes[..name_end] {
            b"data" => {
                line.bytes.advance(value_at);
                return self.push_data(line);
            }
            b"event" => {
                let name = String::from_utf8_lossy(&bytes[value_at..]);
                self.name = (!name.is_empty()).then(|| name.into());
            }
            b"id" if !bytes[value_at..].contains(&0) => {
                self.id = Some(String::from_utf8_lossy(&bytes[value_at..]).into());
            }
            b"retry" => {
                let digits = std::str::from_utf8(&bytes[value_at..]).unwrap_or_default();
                if digits.bytes().all(|b| b.is_ascii_digit()) {
                    self.retry = digits.parse().ok().map(Duration::from_millis).or(self.retry);
                }
            }
            // A comment (an empty name) or a field of somebody else's.
            _ => self.keep_stray(&line.bytes),
        }
        Ok(())
    }

    /// Keeps the beginning of what is no event stream, whatever its head says.
    fn keep_stray(&mut self, line: &[u8]) {
        let begins = matches!(line.trim_ascii_start().first(), Some(b'{' | b'[' | b'<'));
        if self.spoken || (self.stray.is_empty() && !begins) {
            return;
        }
        let room = MAX_STRAY.saturating_sub(self.stray.len() + 1).min(line.len());
        self.stray.extend_from_slice(&line[..room]);
        self.stray.push(b'\n');
    }

    /// What came in place of events, if no event came and it begins as JSON or a web page does: some servers call an error an
    /// event stream. At most 64 KiB of it.
    pub fn stray(&self) -> Option<&[u8]> {
        (!self.spoken && !self.stray.is_empty()).then_some(&self.stray)
    }

    fn push_data(&mut self, value: Line) -> Result<(), SseError> {
        let limit = self.limits.event;
        let so_far = match &self.data {
            Data::None => 0,
            Data::One(first) => first.bytes.len() + 1,
            Data::Many(lines) => lines.len() + 1,
        };
        if so_far.saturating_add(value.bytes.len()) > limit {
            return Err(SseError::EventTooLarge { limit });
        }
        self.data = match std::mem::take(&mut self.data) {
            Data::None => Data::One(value),
            Data::One(first) => {
                let mut lines = BytesMut::new();
                append(&mut lines, &first.bytes, limit);
                append(&mut lines, b"\n", limit);
                append(&mut lines, &value.bytes, limit);
                Data::Many(lines)
            }
            Data::Many(mut lines) => {
                append(&mut lines, b"\n", limit);
                append(&mut lines, &value.bytes, limit);
                Data::Many(lines)
            }
        };
        Ok(())
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let name = self.name.take();
        let data = match std::mem::take(&mut self.data) {
            Data::None => return None,
            Data::One(line) => line,
            Data::Many(lines) => Line {
                bytes: lines.freeze(),
                checked: false,
            },
        };
        Some(self.event(name, data))
    }

    fn event(&mut self, name: Option<Box<str>>, data: Line) -> SseEvent {
        let data = if data.checked || std::str::from_utf8(&data.bytes).is_ok() {
            data.bytes
        } else {
            Bytes::from(String::from_utf8_lossy(&data.bytes).into_owned())
        };
        self.spoken = true;
        SseEvent {
            name,
            data,
            id: self.id.clone(),
        }
    }

    /// Ends the stream. Gives the event that had begun and was not finished by an empty line: the standard discards it, so
    /// use it for book-keeping only. Its last line may be cut.
    pub fn finish(&mut self) -> Option<SseEvent> {
        if self.failed.is_some() {
            return None;
        }
        let line = self.line.take();
        self.read_field(line).ok()?;
        self.dispatch()
    }

    /// How long the stream asks to wait before a reconnection.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Bytes taken in so far, comments included.
    pub fn bytes_taken(&self) -> u64 {
        self.taken
    }
}

//! What a client sent.

use serde_json::Value;

/// One request as it was sent. Its `Debug` shows everything, credentials too: tests use invented ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The method, as sent.
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// Names and values in the order sent, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body; pieces of a chunked one joined.
    pub body: Vec<u8>,
}

impl Received {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every header of this name, whatever its case, in the order sent.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = move |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text; bytes that are no UTF-8 become replacement characters.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Takes a request from the front of `bytes`; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`Unreadable`]: where it ends is told by something that is no number, or by one that is too large.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, Unreadable> {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let mut request = Self {
            method: words.next().unwrap_or_default().to_owned(),
            path: words.next().unwrap_or_default().to_owned(),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        let rest = &bytes[end + 4..];
        let body = if request.is_chunked() {
            dechunk(rest)?
        } else {
            let length = request.header("content-length");
            let length = length.map_or(Ok(0), |length| length.parse().map_err(|_| Unreadable))?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        };
        let Some((body, used)) = body else {
            return Ok(None);
        };
        request.body = body;
        bytes.drain(..end + 4 + used);
        Ok(Some(request))
    }

    /// Whether the client waits to be told to send the body: `head` is a request whose body is still to come.
    pub(super) fn expects_continue(head: &[u8]) -> bool {
        let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
            return false;
        };
        String::from_utf8_lossy(&head[..end])
            .to_ascii_lowercase()
            .contains("\r\nexpect: 100-continue")
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    /// Whether the client asked for the connection to be closed after the answer.
    pub(super) fn asks_to_close(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A request whose end nobody can tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The body in front of `bytes` and how many bytes it took; `None` while it is incomplete. Trailers are not read.
fn dechunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Unreadable> {
    let mut body = Vec::new();
    let mut at = 0;
    while let Some(line) = bytes[at..].windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&bytes[at..at + line]).map_err(|_| Unreadable)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Unreadable)?;
        at += line + 2;
        let end = at.checked_add(size).ok_or(Unreadable)?;
        let after = end.checked_add(2).ok_or(Unreadable)?;
        // The line end after the data; after the last chunk it is the empty line.
        let Some(chunk) = bytes.get(at..after) else {
            return Ok(None);
        };
        let (data, line_end) = chunk.split_at(size);
        if line_end != b"\r\n" {
            return Err(Unreadable);
        }
        body.extend_from_slice(data);
        at = after;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{Received, Unreadable};

    #[test]
    fn a_chunk_of_more_bytes_than_can_be_counted_is_unreadable() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for size in [usize::MAX, usize::MAX - 1, usize::MAX - 18] {
            let mut bytes = format!("{head}{size:x}\r\nabc\r\n").into_bytes();
            assert_eq!(Received::take(&mut bytes), Err(Unreadable), "{size:x}");
        }
        // Large, and perhaps still to come.
        let mut bytes = format!("{head}ffff\r\nabc\r\n").into_bytes();
        assert_eq!(Received::take(&mut bytes), Ok(None));
    }
}

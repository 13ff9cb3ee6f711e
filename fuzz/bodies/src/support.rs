//! What the bodies share.

use std::time::{Duration, SystemTime};

use integration_core::{Error, Secret};
use openrouter_client::wire::ErrorReader;

/// The key the readers are told to blot out. Seeds and dictionaries put it into the input in every way a server could.
pub const KEY: &str = "canary-key-7f3a91c05d";

/// The most of a message that is kept, and the ellipsis behind it.
const LONGEST_MESSAGE: usize = 512 + '…'.len_utf8();

/// A day: nothing asks a caller to wait for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// A moment that dates in seeds are near to: 2026-10-29, noon.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_275_200)
}

pub(crate) fn errors() -> ErrorReader {
    ErrorReader::new(now()).with_key(Secret::new(KEY).ok())
}

/// Cuts bytes into pieces, by turns one byte each and a few of any length. Where is told by the bytes themselves, so that the same
/// input is always cut alike.
pub(crate) fn cut(bytes: &[u8], turn: u64) -> Vec<&[u8]> {
    if turn == 0 {
        return bytes.chunks(1).collect();
    }
    // FNV-1a, then xorshift: any fixed mixture will do.
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ turn, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }) | 1;
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let longest = if turn % 2 == 1 { 7 } else { 300 };
        let (piece, after) = rest.split_at(((state % longest) as usize).min(rest.len()));
        // An empty piece is a piece too, though not for ever.
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// What every error promises, whoever made it of whatever input.
pub(crate) fn hold(error: &Error) {
    let (display, debug) = (error.to_string(), format!("{error:?}"));
    assert!(error.message().len() <= LONGEST_MESSAGE, "too long: {display}");
    let code = error.code().unwrap_or_default();
    assert!(code.len() <= LONGEST_MESSAGE, "too long: {code}");
    for text in [display.as_str(), code] {
        assert!(!text.chars().any(char::is_control), "more than a line: {text:?}");
    }
    for text in [display.as_str(), code, debug.as_str()] {
        assert!(!text.contains(KEY), "the key is in {text}");
    }
    if let Some(wait) = error.retry_after() {
        assert!(wait <= LONGEST_WAIT, "a wait of {wait:?}");
    }
}

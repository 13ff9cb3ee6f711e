//! The compact catalogue file: JSON, one model per line, so that a change of one price is a change of one line.

use std::fmt::Write as _;

use integration_core::ProviderId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::CatalogueError;
use crate::record::ModelRecord;

/// The version of the file format that this release writes and reads. It grows when an older reader would get it wrong.
pub const FORMAT: u32 = 1;

/// How much of the hash a catalogue's id shows: 48 bits, plenty to tell one day's captures apart.
const HASH_BYTES: usize = 6;

/// The whole file, strictly.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[expect(
        dead_code,
        reason = "checked before; named here because unknown fields are refused"
    )]
    format: u32,
    provider: ProviderId,
    captured: String,
    models: Vec<ModelRecord>,
}

/// Only the version, whatever else the file holds.
#[derive(Deserialize)]
struct Version {
    format: Option<serde_json::Value>,
}

pub(crate) fn read(text: &str) -> Result<(String, ProviderId, Vec<ModelRecord>), CatalogueError> {
    let version: Version = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if version.format != Some(FORMAT.into()) {
        let found = version
            .format
            .map_or_else(|| "none".to_owned(), |found| found.to_string());
        return Err(CatalogueError::Format {
            found,
            supported: FORMAT,
        });
    }
    let contents: Contents = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    Ok((contents.captured, contents.provider, contents.models))
}

pub(crate) fn malformed(error: &serde_json::Error) -> CatalogueError {
    let text = error.to_string();
    // The place is said once, by our own message.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    CatalogueError::Malformed {
        line: error.line(),
        column: error.column(),
        message,
    }
}

pub(crate) fn write(captured: &str, provider: &ProviderId, records: &[ModelRecord]) -> String {
    let mut text = String::with_capacity(records.len() * 640 + 128);
    let _ = write!(text, "{{\n\"format\": {FORMAT},\n\"provider\": ");
    push(&mut text, provider);
    text.push_str(",\n\"captured\": ");
    push(&mut text, captured);
    text.push_str(",\n\"models\": [\n");
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            text.push_str(",\n");
        }
        push(&mut text, record);
    }
    text.push_str("\n]\n}\n");
    text
}

/// Appends JSON. Strings, finite numbers and maps with string keys always have a JSON form.
fn push<T: Serialize + ?Sized>(text: &mut String, value: &T) {
    let json = serde_json::to_string(value);
    debug_assert!(json.is_ok(), "a record has a JSON form");
    text.push_str(&json.unwrap_or_default());
}

pub(crate) fn id(captured: &str, provider: &ProviderId, records: &[ModelRecord]) -> String {
    let hash = Sha256::digest(write(captured, provider, records));
    let mut id = format!("{provider}-{captured}-");
    for byte in hash.iter().take(HASH_BYTES) {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

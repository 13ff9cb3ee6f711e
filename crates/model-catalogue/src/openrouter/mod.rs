//! Reads the answer of `GET /api/v1/models`.
//!
//! Every field of the answer is either taken into a [`ModelRecord`], or on the list [`LEFT_OUT`] with
//! the reason, or reported as an [`UnknownField`]. So a change of the provider's list shows on the day it happens.

mod fields;
mod read;

use std::fmt;

use integration_core::ProviderId;

use crate::catalogue::Catalogue;
use crate::error::CatalogueError;
use crate::price::PriceStrings;
use crate::record::ModelRecord;

/// A field of the answer that goes into no record, knowingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Where it is, in the notation of [`UnknownField::path`].
    pub path: &'static str,
    /// Why it is left out.
    pub reason: &'static str,
}

const fn left_out(path: &'static str, reason: &'static str) -> LeftOut {
    LeftOut { path, reason }
}

/// The fields that are left out, each with everything below it, and why.
pub const LEFT_OUT: &[LeftOut] = &[
    left_out("name", "prose for a display; the id names the model"),
    left_out("description", "prose"),
    left_out("hugging_face_id", "where the weights are; calls do not need it"),
    left_out("links", "a path made of the canonical slug"),
    left_out(
        "alias_target.name",
        "prose for a display; the slug names the target",
    ),
    left_out(
        "architecture.modality",
        "the input and output modalities, said again in one string",
    ),
    left_out(
        "architecture.instruct_type",
        "the prompt template of raw completions, which chat does not use",
    ),
    left_out(
        "default_parameters",
        "what the provider fills in by itself where a request says nothing",
    ),
    left_out(
        "supported_voices",
        "names of voices; no speech call is made from a record",
    ),
    left_out(
        "benchmarks.design_arena",
        "votes on designs; no task is ranked by them",
    ),
];

/// Fields that are left out as long as they are null, which they were on every model so far. A value would matter, so it is reported.
pub const LEFT_OUT_WHILE_NULL: &[LeftOut] = &[left_out(
    "per_request_limits",
    "null on every model; a limit would be a fact to route by",
)];

/// The price keys whose unit is known. Any other key with a string is kept in the prices all the same, and reported.
pub const PRICE_KEYS: &[&str] = &[
    "audio",
    "audio_output",
    "completion",
    "image",
    "image_output",
    "image_token",
    "input_audio_cache",
    "input_cache_read",
    "input_cache_write",
    "input_cache_write_1h",
    "internal_reasoning",
    "prompt",
    "request",
    "web_search",
];

/// Something in the answer that the reader did not understand.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownField {
    /// Where it is: the field names from the model down, joined by `.`, with `[]` for "in each element", such as
    /// `pricing.overrides[].utc_days`. A field of the answer itself, outside the models, begins with `$.`.
    pub path: String,
    /// What is the matter with it.
    pub problem: Problem,
    /// The id of the first model that has it, else its place in the list, such as `#17`; empty outside the models.
    pub example: String,
    /// How often it was met.
    pub count: usize,
}

/// What is the matter with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// The field is new to this release.
    Unknown,
    /// The field is known, its value is not of the form expected, and is left out as "not known".
    Unexpected {
        /// What was there instead, as a JSON type.
        found: &'static str,
    },
    /// The field is absent where every model has it.
    Missing,
    /// The model as a whole is left out, because it has no id that can be used.
    NoModel,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown field"),
            Self::Unexpected { found } => write!(f, "unexpected value ({found})"),
            Self::Missing => f.write_str("missing"),
            Self::NoModel => f.write_str("model left out, it has no usable id"),
        }
    }
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {} times", self.path, self.problem, self.count)?;
        if !self.example.is_empty() {
            write!(f, ", for example in {}", self.example)?;
        }
        Ok(())
    }
}

/// What came of an [`import`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Entries in the answer.
    pub models_in: usize,
    /// Records in the catalogue.
    pub models_out: usize,
    /// What was not understood, in order of appearance.
    pub unknown: Vec<UnknownField>,
}

/// Reads an answer of `GET /models` into records, in the answer's order.
///
/// What it does not understand is reported and left "not known"; one odd entry does not cost the others. The answer may be
/// one page of the list.
///
/// # Errors
/// [`CatalogueError::Malformed`] if the text is not JSON or has no array `data`, [`CatalogueError::Empty`] if it is empty.
pub fn read_models(json: &str) -> Result<(Vec<ModelRecord>, Vec<UnknownField>), CatalogueError> {
    let answer = read::answer(json)?;
    Ok((answer.records, answer.unknown))
}

/// Reads one `pricing` object, as it is in an entry of the list, overrides included. The paths begin with `pricing.`.
///
/// # Errors
/// [`CatalogueError::Malformed`] if the text is not a JSON object.
pub fn read_prices(json: &str) -> Result<(PriceStrings, Vec<UnknownField>), CatalogueError> {
    read::prices_alone(json)
}

/// Makes a catalogue of the whole answer of `GET /models`, captured on the day `captured` (`YYYY-MM-DD`).
///
/// Compare `models_in` with `models_out` of the report: an entry without a usable id is in the first only.
///
/// # Errors
/// As [`read_models`] and [`Catalogue::new`], and [`CatalogueError::Incomplete`] if the answer is only a page of the list.
pub fn import(
    json: &str,
    captured: &str,
    provider: ProviderId,
) -> Result<(Catalogue, Report), CatalogueError> {
    let answer = read::answer(json)?;
    if let Some(total) = answer.incomplete {
        return Err(CatalogueError::Incomplete {
            found: answer.models_in,
            total,
        });
    }
    let models_out = answer.records.len();
    let catalogue = Catalogue::new(captured, provider, answer.records)?;
    Ok((
        catalogue,
        Report {
            models_in: answer.models_in,
            models_out,
            unknown: answer.unknown,
        },
    ))
}

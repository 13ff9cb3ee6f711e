//! The answer of `GET /models`.

use integration_core::{Delivery, Error, ErrorKind};
use model_catalogue::openrouter::{UnknownField, read_models};
use model_catalogue::{CatalogueError, ModelRecord, ModelSource};

/// The models OpenRouter offers at the moment, of every output kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Models {
    /// The models, in the order of the answer.
    pub records: Vec<ModelRecord>,
    /// What the answer held that the reader does not understand.
    pub unknown: Vec<UnknownField>,
}

impl Models {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Error> {
        let protocol =
            |message: String| Error::new(ErrorKind::Protocol, message).with_delivery(Delivery::Answered);
        let text =
            std::str::from_utf8(body).map_err(|_| protocol("the list of models is not UTF-8".to_owned()))?;
        let (records, unknown) = read_models(text).map_err(|error| {
            // The reader's own words may quote what it found.
            let why = match error {
                CatalogueError::Malformed { line, column, .. } => {
                    format!("it is not of the form expected (line {line}, column {column})")
                }
                CatalogueError::Empty => "it is empty".to_owned(),
                CatalogueError::TooMany { found, most, .. } => {
                    format!("it has {found} models, and {most} are the most")
                }
                _ => "it makes no sense".to_owned(),
            };
            protocol(format!("the list of models cannot be read: {why}"))
        })?;
        Ok(Self { records, unknown })
    }
}

impl ModelSource for Models {
    fn models(&self) -> Vec<ModelRecord> {
        self.records.clone()
    }
}

//! Why a catalogue cannot be used.

use integration_core::InvalidId;

/// Why a catalogue cannot be read or built. Nothing of it is used then: half a catalogue would route and price wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The text is not JSON, or not of the shape expected.
    #[error("line {line}, column {column}: {message}")]
    Malformed {
        /// The line, from 1; in a catalogue file each model has its own.
        line: usize,
        /// The column, from 1; 0 at a line's end.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// The file's `format` is absent or a version this release does not read.
    #[error(
        "the catalogue has format {found}, this release reads format {supported}; make the file again with `cargo xtask catalogue`"
    )]
    Format {
        /// What the file says.
        found: String,
        /// What this release reads.
        supported: u32,
    },
    /// The date of capture is not a day written as `YYYY-MM-DD`.
    #[error("'{found}' is not a date of capture, which is written YYYY-MM-DD")]
    Captured {
        /// What was given.
        found: String,
    },
    /// There is no model in it.
    #[error("the catalogue has no models")]
    Empty,
    /// There are more models in it than any provider has.
    #[error("the catalogue has {found} models, more than the {most} taken for real")]
    TooMany {
        /// Models in it.
        found: usize,
        /// The most that are taken.
        most: usize,
    },
    /// It is not believable as the next list after another.
    #[error("the list cannot follow the one before: {reason}")]
    Successor {
        /// What is not believable.
        reason: String,
    },
    /// Two models have the same id.
    #[error("the model '{id}' is in the catalogue twice")]
    Duplicate {
        /// The id.
        id: String,
    },
    /// A value of a model cannot be.
    #[error("the model '{id}' has a {field} that cannot be: {message}")]
    Value {
        /// The model's id.
        id: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The answer is one page of the list, not all of it.
    #[error("the answer holds {found} models of {total}; ask for the whole list, without offset and limit")]
    Incomplete {
        /// Models in the answer.
        found: usize,
        /// Models the provider says there are.
        total: String,
    },
    /// A name is not an id.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

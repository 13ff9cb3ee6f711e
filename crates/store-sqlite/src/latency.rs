//! How fast models have been, out of the attempts.

use std::time::{Duration, SystemTime};

use costing::{LedgerError, Outcome};
use integration_core::ModelId;
use rusqlite::{Connection, params};

use crate::error::ledger_error;
use crate::row::{column, micros, optional};

/// How long a model's answers have taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelLatency {
    /// Which model, as it was asked for.
    pub model: ModelId,
    /// How many answers came to their end.
    pub answers: u64,
    /// The median of their whole durations; `None` if none was timed.
    pub total: Option<Duration>,
    /// How many of them were timed to the first thing to be seen. Answers that came in one piece have no such time.
    pub first_content_of: u64,
    /// The median of these times; `None` if there is none.
    pub first_content: Option<Duration>,
}

/// The median of an even number is the mean of the two in the middle. What is not known sorts last, and is not counted.
const SELECT: &str = "
WITH timed AS (
    SELECT model, duration_us, first_content_us,
        count(*) OVER of_model AS answers, count(duration_us) OVER of_model AS n, count(first_content_us) OVER of_model AS n_first,
        row_number() OVER (PARTITION BY model ORDER BY duration_us NULLS LAST) AS place,
        row_number() OVER (PARTITION BY model ORDER BY first_content_us NULLS LAST) AS place_first
    FROM attempts
    WHERE started_us >= ?1 AND simulated = ?2 AND outcome = ?3
    WINDOW of_model AS (PARTITION BY model)
)
SELECT model, max(answers),
    avg(duration_us) FILTER (WHERE place IN ((n + 1) / 2, (n + 2) / 2)),
    max(n_first),
    avg(first_content_us) FILTER (WHERE place_first IN ((n_first + 1) / 2, (n_first + 2) / 2))
FROM timed GROUP BY model ORDER BY model";

/// What the tables must take.
pub(crate) const STATEMENTS: [&str; 1] = [SELECT];

/// How long the answers of each model have taken that were begun since then.
pub(crate) fn of_models(
    connection: &Connection,
    since: SystemTime,
    simulated: bool,
) -> Result<Vec<ModelLatency>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection.prepare_cached(SELECT).map_err(sqlite)?;
    let mut rows = statement
        .query(params![micros(since), simulated, Outcome::Succeeded.as_str()])
        .map_err(sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        found.push(ModelLatency {
            model: column(row, 0, |text: String| text.parse().ok())?,
            answers: column(row, 1, |count: i64| u64::try_from(count).ok())?,
            total: optional(row, 2, Some)?.map(duration),
            first_content_of: column(row, 3, |count: i64| u64::try_from(count).ok())?,
            first_content: optional(row, 4, Some)?.map(duration),
        });
    }
    Ok(found)
}

/// The file's durations are not below zero.
fn duration(micros: f64) -> Duration {
    Duration::from_micros(micros.max(0.0).round() as u64)
}

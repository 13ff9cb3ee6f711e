//! Between feedback and rows.

use costing::{AttemptIntent, LedgerError, Outcome, Place, Rule, Verifier};
use integration_core::RequestId;
use routing::{Feedback, FeedbackRow, FeedbackSums, ScoredAnswer};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::ledger_error;
use crate::row::{column, micros, one, optional};

/// How many parts a score is kept in. Sums of squares stay whole numbers that fit for some nine hundred million scores of one model.
const PARTS: u32 = 100_000;

/// The attempt that answered a call: the last one that was the caller's own and came to its end.
const ANSWERED: &str = "
SELECT attempt, simulated, model, served_model, task FROM attempts
WHERE request_id = ?1 AND outcome = ?2 AND purpose = ?3 ORDER BY attempt DESC LIMIT 1";

const KNOWN: &str = "SELECT 1 FROM attempts WHERE request_id = ?1 LIMIT 1";

/// The attempt a source has spoken of before counts further on, so that what is taken off is what was added.
const BEFORE: &str = "
SELECT f.attempt, a.simulated, a.model, a.served_model, a.task, f.score_e5
FROM feedback f JOIN attempts a ON a.request_id = f.request_id AND a.attempt = f.attempt
WHERE f.request_id = ?1 AND f.source = ?2";

const SOURCES: &str = "SELECT count(*) FROM feedback WHERE request_id = ?1";

const INSERT: &str = "
INSERT INTO feedback (request_id, source, attempt, score_e5, at_us) VALUES (?1, ?2, ?3, ?4, ?5)";

const UPDATE: &str = "UPDATE feedback SET score_e5 = ?3, at_us = ?4 WHERE request_id = ?1 AND source = ?2";

const ADD: &str = "
UPDATE feedback_sums SET count = count + ?5, score_e5 = score_e5 + ?6, square_e10 = square_e10 + ?7
WHERE model = ?1 AND task IS ?2 AND served_model IS ?3 AND simulated = ?4";

const BEGIN: &str = "
INSERT INTO feedback_sums (model, task, served_model, simulated, count, score_e5, square_e10) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const SUMS: &str = "
SELECT model, served_model, task, count, score_e5, square_e10 FROM feedback_sums
WHERE simulated = ?1 AND count > 0 ORDER BY model, served_model, task";

/// Scores by request. No request has an empty name.
const SCORED: &str = "
SELECT f.request_id, f.attempt, count(*), sum(f.score_e5) FROM feedback f
WHERE f.request_id > ?1 AND f.attempt = (SELECT max(g.attempt) FROM feedback g WHERE g.request_id = f.request_id)
GROUP BY f.request_id ORDER BY f.request_id LIMIT ?2";

/// The sums beside the feedback that is kept, where they differ. A second row of the same sum would be added to twice.
const DIFFERENCES: &str = "
SELECT model, served_model, task, simulated, sum(kept),
       sum(count), sum(score), sum(square), sum(said), sum(said_score), sum(said_square)
FROM (
    SELECT model, served_model, task, simulated, 1 AS kept, count, score_e5 AS score, square_e10 AS square,
           0 AS said, 0 AS said_score, 0 AS said_square
    FROM feedback_sums
    UNION ALL
    SELECT a.model, a.served_model, a.task, a.simulated, 0, 0, 0, 0, 1, f.score_e5, f.score_e5 * f.score_e5
    FROM feedback f LEFT JOIN attempts a ON a.request_id = f.request_id AND a.attempt = f.attempt
)
GROUP BY model, served_model, task, simulated
HAVING model IS NULL OR sum(kept) > 1 OR sum(count) <> sum(said) OR sum(score) <> sum(said_score)
    OR sum(square) <> sum(said_square)
ORDER BY model, served_model, task, simulated";

/// What the tables must take.
pub(crate) const STATEMENTS: [&str; 11] = [
    ANSWERED,
    KNOWN,
    BEFORE,
    SOURCES,
    INSERT,
    UPDATE,
    ADD,
    BEGIN,
    SUMS,
    SCORED,
    DIFFERENCES,
];

/// Which sum an answer's scores are in.
struct Answered {
    attempt: u16,
    simulated: bool,
    model: String,
    served: Option<String>,
    task: Option<String>,
}

impl Answered {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            attempt: row.get(0)?,
            simulated: row.get(1)?,
            model: row.get(2)?,
            served: row.get(3)?,
            task: row.get(4)?,
        })
    }

    fn add(&self, connection: &Connection, count: i64, score: i64, square: i64) -> rusqlite::Result<()> {
        let values = params![
            self.model,
            self.task,
            self.served,
            self.simulated,
            count,
            score,
            square
        ];
        if connection.prepare_cached(ADD)?.execute(values)? == 0 {
            connection.prepare_cached(BEGIN)?.execute(values)?;
        }
        Ok(())
    }
}

/// Keeps what a source says of a call, and whether it was taken: not if too many others have spoken of it. An error of the ledger, if
/// nobody answered the call.
pub(crate) fn give(
    connection: &Connection,
    feedback: &Feedback,
) -> rusqlite::Result<Result<bool, LedgerError>> {
    let (request, source, at) = (
        feedback.request.as_str(),
        feedback.source.as_str(),
        micros(feedback.at),
    );
    // From 0 to 1 by its type.
    let score = (feedback.score() * f64::from(PARTS)).round() as i64;
    let before = connection
        .prepare_cached(BEFORE)?
        .query_row(params![request, source], |row| {
            Ok((Answered::read(row)?, row.get::<_, i64>(5)?))
        })
        .optional()?;
    if let Some((answered, old)) = before {
        connection
            .prepare_cached(UPDATE)?
            .execute(params![request, source, score, at])?;
        answered.add(connection, 0, score - old, score * score - old * old)?;
        return Ok(Ok(true));
    }
    let answered = connection
        .prepare_cached(ANSWERED)?
        .query_row(
            params![request, Outcome::Succeeded.as_str(), AttemptIntent::CALL],
            Answered::read,
        )
        .optional()?;
    let Some(answered) = answered else {
        let request = feedback.request.clone();
        return Ok(Err(
            if connection.prepare_cached(KNOWN)?.exists([request.as_str()])? {
                LedgerError::NotSettled { request, attempt: 0 }
            } else {
                LedgerError::UnknownAttempt { request, attempt: 0 }
            },
        ));
    };
    let sources: i64 = connection
        .prepare_cached(SOURCES)?
        .query_row([request], |row| row.get(0))?;
    if usize::try_from(sources).is_ok_and(|sources| sources >= Feedback::MOST_SOURCES) {
        return Ok(Ok(false));
    }
    connection
        .prepare_cached(INSERT)?
        .execute(params![request, source, answered.attempt, score, at])?;
    answered.add(connection, 1, score, score * score)?;
    Ok(Ok(true))
}

/// The sums of all models and tasks.
pub(crate) fn sums(connection: &Connection, simulated: bool) -> Result<Vec<FeedbackRow>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection.prepare_cached(SUMS).map_err(sqlite)?;
    let mut rows = statement.query([simulated]).map_err(sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        let count = column(row, 3, |count: i64| u64::try_from(count).ok())?;
        let score: i64 = column(row, 4, Some)?;
        found.push(FeedbackRow::new(
            column(row, 0, |text: String| text.parse().ok())?,
            optional(row, 1, Some)?,
            optional(row, 2, Some)?,
            column(row, 5, |square: i64| moments(count, score, square))?,
        ));
    }
    Ok(found)
}

/// Answers that were spoken of, with their scores.
pub(crate) fn scored(
    connection: &Connection,
    after: Option<&RequestId>,
    limit: usize,
) -> Result<Vec<ScoredAnswer>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(SCORED).map_err(sqlite)?;
    let mut rows = statement
        .query(params![after.map_or("", RequestId::as_str), limit])
        .map_err(sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        let request: RequestId = column(row, 0, |text: String| text.parse().ok())?;
        let attempt = one(connection, &request, column(row, 1, Some)?)?;
        let (count, score): (i64, i64) = (column(row, 2, Some)?, column(row, 3, Some)?);
        // A group has one row at the least.
        let mean = score as f64 / count as f64 / f64::from(PARTS);
        found.push(ScoredAnswer::new(attempt, mean));
    }
    Ok(found)
}

/// Holds the sums against the feedback.
pub(crate) fn check(connection: &Connection, verifier: &mut Verifier) -> Result<(), LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection.prepare_cached(DIFFERENCES).map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let whole = |at: usize| -> Result<i64, LedgerError> { column(row, at, Some) };
        let (rows_kept, said) = (whole(4)?, whole(8)?);
        let Some(model) = optional::<String, _>(row, 0, Some)? else {
            let detail = format!("{said} scores of attempts that are not there");
            verifier.violated(Rule::SumsAreFeedback, Place::Ledger, detail);
            continue;
        };
        let mut of = model;
        if let Some(served) = optional::<String, _>(row, 1, Some)? {
            of = format!("{of}, served as {served}");
        }
        match optional::<String, _>(row, 2, Some)? {
            Some(task) => of = format!("{of}, for {task}"),
            None => of.push_str(", for no task"),
        }
        if whole(3)? != 0 {
            of.push_str(", simulated");
        }
        let detail = match rows_kept {
            0 | 1 => format!(
                "the sum has {} scores of {} parts and their squares {}, the feedback {said} of {} and {}",
                whole(5)?,
                whole(6)?,
                whole(7)?,
                whole(9)?,
                whole(10)?
            ),
            more => format!("the sum is there {more} times"),
        };
        verifier.violated(Rule::SumsAreFeedback, Place::Feedback(of), detail);
    }
    Ok(())
}

/// The mean and the squared distances from it, of whole sums. What cancels out is whole still.
fn moments(count: u64, score: i64, square: i64) -> Option<FeedbackSums> {
    let (n, parts) = (i128::from(count), f64::from(PARTS));
    let distances = n * i128::from(square) - i128::from(score) * i128::from(score);
    let mean = score as f64 / parts / count as f64;
    let m2 = distances as f64 / count as f64 / (parts * parts);
    FeedbackSums::from_parts(count, mean, m2)
}

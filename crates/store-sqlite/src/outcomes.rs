//! Between exposures and outcomes of experiments and rows.

use std::collections::BTreeMap;

use costing::LedgerError;
use experiments::{
    Attribution, Call, Experiment, Exposure, Outcome, OutcomeStoreError, OutcomeSums, Reason, UnitKey,
    UnitRow, Units,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::ledger_error;
use crate::row::{column, optional};

/// A later exposure adds nothing but that it was forced.
const EXPOSE: &str = "
INSERT INTO exposures (experiment, unit_key, unit, version, arm, at_ms, forced, covariates)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (experiment, unit_key, unit, version, arm) DO UPDATE SET
    covariates = CASE WHEN excluded.at_ms < at_ms THEN excluded.covariates ELSE covariates END,
    at_ms = min(at_ms, excluded.at_ms),
    forced = max(forced, excluded.forced)
WHERE excluded.at_ms < at_ms OR excluded.forced > forced";

const RECORD: &str = "
INSERT INTO outcomes (id, at_ms, tenant, user, conversation, request, failed, timeout, fallback, served_model, success, score,
    cost_pico, latency_ms, named)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (id) DO NOTHING";

/// Read as far as a page goes, and no further.
const EXPOSED: &str = "
SELECT unit, version, arm, at_ms, forced, covariates FROM exposures
WHERE experiment = ?1 AND unit_key = ?2 AND unit > ?3 ORDER BY unit, version, arm";

/// The outcomes in a window of a unit of one kind: those that name it, and those that name no such unit but a request whose last
/// outcome to name one (by id) names this one. The steps are kept apart and the indexes named, so that no plan can come out that
/// reads more than what has to do with the unit.
macro_rules! outcomes_of {
    ($unit:literal) => {
        concat!(
            "
WITH asked AS MATERIALIZED (
    SELECT DISTINCT request FROM outcomes INDEXED BY outcomes_",
            $unit,
            " WHERE ",
            $unit,
            " = ?1 AND request IS NOT NULL
), its AS MATERIALIZED (
    SELECT request FROM asked WHERE (
        SELECT w.",
            $unit,
            " FROM outcomes w INDEXED BY outcomes_request
        WHERE w.request = asked.request AND w.",
            $unit,
            " IS NOT NULL ORDER BY w.id DESC LIMIT 1
    ) = ?1
)
SELECT id, at_ms, failed, timeout, fallback, success, score, cost_pico, latency_ms, named
FROM outcomes INDEXED BY outcomes_",
            $unit,
            " WHERE ",
            $unit,
            " = ?1 AND at_ms >= ?2 AND at_ms < ?3
UNION ALL
SELECT o.id, o.at_ms, o.failed, o.timeout, o.fallback, o.success, o.score, o.cost_pico, o.latency_ms, o.named
FROM its CROSS JOIN outcomes o INDEXED BY outcomes_request ON o.request = its.request
WHERE o.",
            $unit,
            " IS NULL AND o.at_ms >= ?2 AND o.at_ms < ?3
ORDER BY id"
        )
    };
}

const OF_TENANT: &str = outcomes_of!("tenant");

const OF_USER: &str = outcomes_of!("user");

const OF_CONVERSATION: &str = outcomes_of!("conversation");

const OF_REQUEST: &str = "
SELECT id, at_ms, failed, timeout, fallback, success, score, cost_pico, latency_ms, named
FROM outcomes INDEXED BY outcomes_request
WHERE request = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY id";

const KEPT: &str = "SELECT definition FROM experiments WHERE key = ?1";

const KEEP: &str = "INSERT INTO experiments (key, definition) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING";

const FOLLOW: &str = "UPDATE experiments SET definition = ?2 WHERE key = ?1 AND definition = ?3";

/// What the tables must take.
pub(crate) const STATEMENTS: [&str; 10] = [
    EXPOSE,
    RECORD,
    EXPOSED,
    OF_TENANT,
    OF_USER,
    OF_CONVERSATION,
    OF_REQUEST,
    KEPT,
    KEEP,
    FOLLOW,
];

/// A record, and its values as text: whoever brings it writes that out, since all who write wait for the one thread that takes it.
pub(crate) type WithText<T> = (T, Option<String>);

/// Exposures as they are kept, if all of them may be.
pub(crate) fn exposures(given: &[Exposure]) -> Result<Box<[WithText<Exposure>]>, OutcomeStoreError> {
    given.iter().try_for_each(Exposure::check)?;
    let kept = given
        .iter()
        .map(|one| (one.clone(), values_text(&one.covariates)));
    Ok(kept.collect())
}

/// Outcomes as they are kept, if all of them may be.
pub(crate) fn outcomes(given: &[Outcome]) -> Result<Box<[WithText<Outcome>]>, OutcomeStoreError> {
    given.iter().try_for_each(Outcome::check)?;
    let kept = given.iter().map(|one| (one.clone(), values_text(&one.named)));
    Ok(kept.collect())
}

/// NULL where there are none. Writing finite numbers to text cannot fail, and they are read back as the same.
fn values_text(values: &BTreeMap<String, f64>) -> Option<String> {
    (!values.is_empty())
        .then(|| serde_json::to_string(values).ok())
        .flatten()
}

fn values(text: Option<String>) -> Option<BTreeMap<String, f64>> {
    let values = match text {
        Some(text) => serde_json::from_str(&text).ok()?,
        None => BTreeMap::<String, f64>::new(),
    };
    values.values().all(|value| value.is_finite()).then_some(values)
}

/// Keeps exposures, and whether one of them was new.
pub(crate) fn expose(connection: &Connection, given: &[WithText<Exposure>]) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(EXPOSE)?;
    let mut changed = 0;
    for (exposure, covariates) in given {
        changed += statement.execute(params![
            exposure.experiment,
            exposure.unit_key.as_str(),
            exposure.unit,
            exposure.version,
            exposure.arm,
            exposure.at_ms,
            exposure.reason == Reason::Forced,
            covariates,
        ])?;
    }
    Ok(changed > 0)
}

/// Keeps outcomes, and whether one of them was new.
pub(crate) fn record(connection: &Connection, given: &[WithText<Outcome>]) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(RECORD)?;
    let mut changed = 0;
    for (outcome, named) in given {
        let call = outcome.call.as_ref();
        changed += statement.execute(params![
            outcome.id,
            outcome.at_ms,
            outcome.units.get(UnitKey::Tenant),
            outcome.units.get(UnitKey::User),
            outcome.units.get(UnitKey::Conversation),
            outcome.units.get(UnitKey::Request),
            call.map(|call| call.failed),
            call.map(|call| call.timeout),
            call.map(|call| call.fallback),
            call.and_then(|call| call.served_model.as_deref()),
            outcome.success,
            outcome.score,
            outcome.cost_pico,
            // What does not fit has taken 292 million years.
            outcome
                .latency_ms
                .map(|latency| i64::try_from(latency).unwrap_or(i64::MAX)),
            named,
        ])?;
    }
    Ok(changed > 0)
}

/// At most so many units of a version of an experiment, those after a name, in the order of their names' bytes.
pub(crate) fn unit_rows(
    connection: &Connection,
    attribution: &Attribution,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<UnitRow>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    // A read transaction: a page is as of one moment.
    let snapshot = connection.unchecked_transaction().map_err(sqlite)?;
    let mut statement = snapshot.prepare_cached(EXPOSED).map_err(sqlite)?;
    // No unit has an empty name.
    let mut rows = statement
        .query(params![
            attribution.experiment,
            attribution.unit.as_str(),
            after.unwrap_or_default()
        ])
        .map_err(sqlite)?;
    let mut unit = Exposed::default();
    while let Some(row) = rows.next().map_err(sqlite)? {
        let name: String = column(row, 0, Some)?;
        if name != unit.name {
            found.extend(unit.finish(&snapshot, attribution)?);
            unit = Exposed {
                name,
                ..Exposed::default()
            };
            if found.len() >= limit {
                return Ok(found);
            }
        }
        unit.add(row, attribution.version)?;
    }
    found.extend(unit.finish(&snapshot, attribution)?);
    Ok(found)
}

/// What the exposures of a unit come to. They come by version and arm, each of them once.
#[derive(Debug, Default)]
struct Exposed {
    name: String,
    /// The first under the version asked for.
    first: Option<(i64, String, BTreeMap<String, f64>)>,
    arms: u32,
    versions: u32,
    last_version: Option<u32>,
    forced: bool,
}

impl Exposed {
    fn add(&mut self, row: &Row<'_>, asked: u32) -> Result<(), LedgerError> {
        let version: u32 = column(row, 1, Some)?;
        if self.last_version.replace(version) != Some(version) {
            self.versions = self.versions.saturating_add(1);
        }
        self.forced |= column(row, 4, Some::<bool>)?;
        if version != asked {
            return Ok(());
        }
        self.arms = self.arms.saturating_add(1);
        let at: i64 = column(row, 3, Some)?;
        if self.first.as_ref().is_none_or(|(first, ..)| at < *first) {
            self.first = Some((at, column(row, 2, Some)?, column(row, 5, values)?));
        }
        Ok(())
    }

    /// With its outcomes; nothing, if it did not meet the version asked for.
    fn finish(
        self,
        connection: &Connection,
        attribution: &Attribution,
    ) -> Result<Option<UnitRow>, LedgerError> {
        let Some((at, arm, covariates)) = self.first else {
            return Ok(None);
        };
        let sums = sums(connection, attribution, &self.name, at)?;
        let mut row = UnitRow::new(self.name, arm, at);
        row.arms = self.arms;
        row.versions = self.versions;
        row.forced = self.forced;
        row.covariates = covariates;
        row.sums = sums;
        Ok(Some(row))
    }
}

/// The outcomes of a unit in the window that begins at a time, added up in the order of their ids: sums of fractions come out the
/// same wherever they are made.
fn sums(
    connection: &Connection,
    attribution: &Attribution,
    unit: &str,
    from: i64,
) -> Result<OutcomeSums, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let sql = match attribution.unit {
        UnitKey::Tenant => OF_TENANT,
        UnitKey::User => OF_USER,
        UnitKey::Conversation => OF_CONVERSATION,
        UnitKey::Request => OF_REQUEST,
    };
    let mut statement = connection.prepare_cached(sql).map_err(sqlite)?;
    let mut rows = statement
        .query(params![unit, from, from.saturating_add(attribution.window_ms)])
        .map_err(sqlite)?;
    let mut sums = OutcomeSums::default();
    while let Some(row) = rows.next().map_err(sqlite)? {
        sums.add(&read(row, attribution.unit, unit)?);
    }
    Ok(sums)
}

/// The outcome of a unit, with everything that is added up.
fn read(row: &Row<'_>, kind: UnitKey, unit: &str) -> Result<Outcome, LedgerError> {
    let units = Units::from(&experiments::Context::of(kind, unit));
    let mut outcome = Outcome::new(column::<String, _>(row, 0, Some)?, column(row, 1, Some)?, units);
    if let Some(failed) = optional(row, 2, Some)? {
        let mut call = Call::default();
        (call.failed, call.timeout, call.fallback) = (failed, column(row, 3, Some)?, column(row, 4, Some)?);
        outcome.call = Some(call);
    }
    outcome.success = optional(row, 5, Some)?;
    outcome.score = optional(row, 6, Some)?;
    outcome.cost_pico = optional(row, 7, Some)?;
    outcome.latency_ms = optional(row, 8, |latency: i64| u64::try_from(latency).ok())?;
    outcome.named = column(row, 9, values)?;
    match outcome.check() {
        Ok(()) => Ok(outcome),
        Err(error) => Err(LedgerError::Corrupt {
            message: format!("an outcome is there that is refused: {error}"),
        }),
    }
}

/// What an experiment becomes, and what it must have been.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) key: String,
    pub(crate) before: Option<String>,
    pub(crate) now: String,
}

impl Definition {
    /// What is to be kept instead of `before`; `None` if that is the same.
    pub(crate) fn following(
        before: Option<String>,
        experiment: &Experiment,
    ) -> Result<Option<Self>, OutcomeStoreError> {
        if let Some(text) = &before {
            let kept: Experiment = serde_json::from_str(text)
                .ok()
                .filter(|kept: &Experiment| kept.key() == experiment.key())
                .ok_or_else(|| OutcomeStoreError::Corrupt {
                    message: format!("what experiment '{}' was cannot be read", experiment.key()),
                })?;
            if kept == *experiment {
                return Ok(None);
            }
            kept.check_change(experiment)?;
        }
        let now = serde_json::to_string(experiment).map_err(|error| OutcomeStoreError::Unavailable {
            message: error.to_string(),
        })?;
        Ok(Some(Self {
            key: experiment.key().to_owned(),
            before,
            now,
        }))
    }
}

/// What is kept of an experiment.
pub(crate) fn kept(connection: &Connection, key: &str) -> Result<Option<String>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection.prepare_cached(KEPT).map_err(sqlite)?;
    statement
        .query_row([key], |row| Ok(column(row, 0, Some)))
        .optional()
        .map_err(sqlite)?
        .transpose()
}

/// Keeps what an experiment is now, unless it has become something else than it was to have been.
pub(crate) fn define(connection: &Connection, definition: &Definition) -> rusqlite::Result<bool> {
    let Definition { key, before, now } = definition;
    let changed = match before {
        None => connection.prepare_cached(KEEP)?.execute(params![key, now]),
        Some(before) => connection
            .prepare_cached(FOLLOW)?
            .execute(params![key, now, before]),
    }?;
    Ok(changed == 1)
}

/// What the ledger says, as experiments hear it.
pub(crate) fn refused(error: LedgerError) -> OutcomeStoreError {
    match error {
        LedgerError::Corrupt { message } => OutcomeStoreError::Corrupt { message },
        LedgerError::Unavailable { message } => OutcomeStoreError::Unavailable { message },
        other => OutcomeStoreError::Unavailable {
            message: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use experiments::{Arm, Context};
    use rusqlite::StatementStatus;

    use super::*;
    use crate::schema;

    /// Whatever is asked of the tables, what is read is what has to do with a unit: no plan goes through a whole table.
    #[test]
    fn no_page_reads_all_outcomes() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let plan = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            // Without values: the plan is the same for all of them.
            let mut rows = statement.raw_query();
            let mut lines = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                lines.push(row.get(3).unwrap());
            }
            lines
        };
        assert_eq!(
            plan(EXPOSED),
            ["SEARCH exposures USING PRIMARY KEY (experiment=? AND unit_key=? AND unit>?)"]
        );
        assert_eq!(
            plan(OF_REQUEST),
            ["SEARCH outcomes USING INDEX outcomes_request (request=?)"]
        );
        for (sql, unit) in [
            (OF_TENANT, "tenant"),
            (OF_USER, "user"),
            (OF_CONVERSATION, "conversation"),
        ] {
            let lines = plan(sql);
            let reads: Vec<&str> = lines
                .iter()
                .map(String::as_str)
                .filter(|line| line.starts_with("SCAN") || line.starts_with("SEARCH"))
                .collect();
            let its =
                format!("SEARCH outcomes USING INDEX outcomes_{unit} ({unit}=? AND at_ms>? AND at_ms<?)");
            let of_unit = format!("SEARCH outcomes USING INDEX outcomes_{unit} ({unit}=?)");
            let expected = [
                its.as_str(),
                "SCAN its",
                "SEARCH o USING INDEX outcomes_request (request=?)",
                of_unit.as_str(),
                "SCAN asked",
                "SEARCH w USING INDEX outcomes_request (request=?)",
            ];
            assert_eq!(reads.len(), expected.len(), "{lines:#?}");
            assert!(expected.iter().all(|line| reads.contains(line)), "{lines:#?}");
        }
    }

    /// So many units that each met an arm, with a call and what was said of it.
    fn filled(units: u32) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let experiment = Experiment::new("e", [Arm::new("a", 10_000)]).unwrap();
        let all = connection.unchecked_transaction().unwrap();
        for unit in 0..units {
            let (name, request) = (format!("{unit:06}"), format!("r{unit}"));
            let context = Context::of(UnitKey::User, &name).with_request(&request);
            let exposure = Exposure::of(&experiment.assign(&name), &context, 0).unwrap();
            expose(&all, &exposures(&[exposure]).unwrap()).unwrap();
            let mut call = Outcome::new(format!("c{unit}"), 1, Units::from(&context));
            call.call = Some(Call::default());
            let mut said = Outcome::new(format!("s{unit}"), 2, Units::of_request(&request));
            said.score = Some(0.5);
            record(&all, &outcomes(&[call, said]).unwrap()).unwrap();
        }
        all.commit().unwrap();
        connection
    }

    /// What SQLite does for a page does not grow with the units that are not on it, so that all of them are read in a time that
    /// grows as their number does.
    #[test]
    fn a_page_costs_the_same_among_many_units() {
        let attribution = Attribution::new("e", 1, UnitKey::User, 10).unwrap();
        let steps = |units: u32| -> Vec<i32> {
            let connection = filled(units);
            let after = format!("{:06}", units / 2);
            let rows = unit_rows(&connection, &attribution, Some(&after), 50).unwrap();
            assert_eq!(rows.len(), 50);
            assert!(
                rows.iter()
                    .all(|row| row.sums.calls == 1 && row.sums.score.n == 1)
            );
            [EXPOSED, OF_USER]
                .map(|sql| {
                    connection
                        .prepare_cached(sql)
                        .unwrap()
                        .get_status(StatementStatus::VmStep)
                })
                .into()
        };
        let few = steps(1_000);
        assert!(few.iter().all(|steps| *steps > 50), "{few:?}");
        assert_eq!(steps(100_000), few);
    }
}

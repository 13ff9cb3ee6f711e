//! The schema, its versions, and what is looked at before a file is touched.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::OpenError;
use crate::row;

/// "WPST": tells this program's files from other SQLite databases.
const APPLICATION_ID: i64 = 0x5750_5354;

/// The oldest SQLite without the error that let two checkpoints at once lose pages of a database in WAL mode.
const OLDEST_SQLITE: i32 = 3_051_003;

/// The steps from each schema version to the next. A step is never changed once released; a new one is added.
const MIGRATIONS: [&str; 6] = [V1, V2, V3, V4, V5, V6];

/// The first version whose books and sums are those of this release. A step to a later one leaves them as they are: were they made
/// anew, everything would be in them twice.
const BOOKED: i64 = 3;

/// The version this release writes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Times are microseconds since the Unix epoch, durations microseconds, amounts whole pico-dollars, flags 0 or 1. What is not
/// known is NULL. Only an attempt that is not settled may change, once, and nothing is deleted: the file says so itself, for
/// whoever opens it with another tool.
const V1: &str = "
CREATE TABLE attempts (
    request_id          TEXT NOT NULL,
    attempt             INTEGER NOT NULL,
    started_us          INTEGER NOT NULL,
    task                TEXT,
    requested_model     TEXT NOT NULL,
    provider            TEXT NOT NULL,
    model               TEXT NOT NULL,
    price_snapshot      TEXT NOT NULL,
    stream              INTEGER NOT NULL CHECK (stream IN (0, 1)),
    simulated           INTEGER NOT NULL CHECK (simulated IN (0, 1)),
    end_user            TEXT,
    tags                TEXT NOT NULL DEFAULT '[]',
    finished_us         INTEGER,
    outcome             TEXT,
    error_kind          TEXT,
    served_model        TEXT,
    upstream            TEXT,
    generation_id       TEXT,
    finish_reason       TEXT,
    usage               TEXT,
    prompt_tokens       INTEGER,
    completion_tokens   INTEGER,
    cached_tokens       INTEGER,
    cache_write_tokens  INTEGER,
    cache_write_1h_tokens   INTEGER,
    reasoning_tokens    INTEGER,
    prompt_audio_tokens INTEGER,
    prompt_image_tokens INTEGER,
    prompt_video_tokens INTEGER,
    completion_audio_tokens INTEGER,
    completion_image_tokens INTEGER,
    web_search_requests INTEGER,
    cost_pico           INTEGER,
    markup_pico         INTEGER,
    charge_pico         INTEGER,
    markup_bps          INTEGER,
    cost_status         TEXT NOT NULL DEFAULT 'pending',
    reported_cost_usd   TEXT,
    computed_cost_usd   TEXT,
    first_content_us    INTEGER,
    duration_us         INTEGER,
    PRIMARY KEY (request_id, attempt),
    CHECK ((outcome IS NULL) = (finished_us IS NULL)),
    CHECK ((outcome IS NULL) = (markup_bps IS NULL))
) STRICT;

CREATE INDEX attempts_open ON attempts (started_us) WHERE outcome IS NULL;

CREATE TRIGGER attempts_settle_once BEFORE UPDATE ON attempts WHEN OLD.outcome IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a settled attempt is never changed'); END;

CREATE TRIGGER attempts_keep_intent
BEFORE UPDATE OF request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags ON attempts
BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END;

CREATE TRIGGER attempts_keep BEFORE DELETE ON attempts
BEGIN SELECT RAISE(ABORT, 'an attempt is never deleted'); END;
";

/// The caller, what an attempt is for and holds, its fee and bill; the entries of double-entry bookkeeping, corrections, and the
/// sums by hour. A sum is `…_micro` times a million plus `…_pico`, each added up by itself, because one column would overflow.
///
/// `REPLACE` deletes without asking the triggers against deletion, so an insert over an existing row is stopped as well.
const V2: &str = "
ALTER TABLE attempts ADD COLUMN purpose TEXT NOT NULL DEFAULT 'call';
ALTER TABLE attempts ADD COLUMN caller_key TEXT NOT NULL DEFAULT 'local';
ALTER TABLE attempts ADD COLUMN caller_project TEXT;
ALTER TABLE attempts ADD COLUMN caller_team TEXT;
ALTER TABLE attempts ADD COLUMN reserved_pico INTEGER;
ALTER TABLE attempts ADD COLUMN fee_pico INTEGER;
ALTER TABLE attempts ADD COLUMN markup_source TEXT;
ALTER TABLE attempts ADD COLUMN bill TEXT;
ALTER TABLE attempts ADD COLUMN uncached_pico INTEGER;

CREATE INDEX attempts_started ON attempts (started_us);

DROP TRIGGER attempts_keep_intent;
CREATE TRIGGER attempts_keep_intent
BEFORE UPDATE OF request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, purpose, caller_key, caller_project, caller_team, reserved_pico ON attempts
BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END;

CREATE TRIGGER attempts_once BEFORE INSERT ON attempts
WHEN EXISTS (SELECT 1 FROM attempts WHERE request_id = NEW.request_id AND attempt = NEW.attempt)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TABLE corrections (
    request_id          TEXT NOT NULL,
    attempt             INTEGER NOT NULL,
    seq                 INTEGER NOT NULL,
    at_us               INTEGER NOT NULL,
    source              TEXT NOT NULL,
    cost_pico           INTEGER NOT NULL,
    markup_pico         INTEGER NOT NULL,
    charge_pico         INTEGER NOT NULL,
    fee_pico            INTEGER NOT NULL,
    markup_bps          INTEGER NOT NULL,
    cost_status         TEXT NOT NULL,
    bill                TEXT,
    reported_cost_usd   TEXT,
    PRIMARY KEY (request_id, attempt, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER corrections_keep BEFORE UPDATE ON corrections
BEGIN SELECT RAISE(ABORT, 'a correction is never changed'); END;
CREATE TRIGGER corrections_stay BEFORE DELETE ON corrections
BEGIN SELECT RAISE(ABORT, 'a correction is never deleted'); END;
CREATE TRIGGER corrections_once BEFORE INSERT ON corrections
WHEN EXISTS (SELECT 1 FROM corrections WHERE request_id = NEW.request_id AND attempt = NEW.attempt AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'a correction is never replaced'); END;

CREATE TABLE entries (
    request_id          TEXT NOT NULL,
    attempt             INTEGER NOT NULL,
    kind                TEXT NOT NULL,
    seq                 INTEGER NOT NULL,
    debit               TEXT NOT NULL,
    credit              TEXT NOT NULL,
    amount_pico         INTEGER NOT NULL,
    hour                INTEGER NOT NULL,
    PRIMARY KEY (request_id, attempt, kind, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never deleted'); END;
CREATE TRIGGER entries_once BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries
    WHERE request_id = NEW.request_id AND attempt = NEW.attempt AND kind = NEW.kind AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'an entry is never replaced'); END;

CREATE TABLE rollups (
    hour                INTEGER NOT NULL,
    simulated           INTEGER NOT NULL CHECK (simulated IN (0, 1)),
    provider            TEXT NOT NULL,
    model               TEXT NOT NULL,
    upstream            TEXT,
    caller_key          TEXT NOT NULL,
    caller_project      TEXT,
    caller_team         TEXT,
    task                TEXT,
    tag                 TEXT,
    outcome             TEXT,
    cost_status         TEXT NOT NULL,
    first               INTEGER NOT NULL CHECK (first IN (0, 1)),
    attempts            INTEGER NOT NULL,
    prompt_tokens       INTEGER NOT NULL,
    completion_tokens   INTEGER NOT NULL,
    cached_tokens       INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    unknown             INTEGER NOT NULL,
    cost_micro          INTEGER NOT NULL,
    cost_pico           INTEGER NOT NULL,
    markup_micro        INTEGER NOT NULL,
    markup_pico         INTEGER NOT NULL,
    uncached_micro      INTEGER NOT NULL,
    uncached_pico       INTEGER NOT NULL
) STRICT;

CREATE INDEX rollups_key ON rollups (hour, tag, caller_key, model, provider, outcome, cost_status, first, task, upstream,
    caller_project, caller_team, simulated);
";

/// The markup rule at admission, the arm of an experiment, sums by price book and arm, and the attempts whose cost is asked for. The
/// sums are made anew from the attempts.
const V3: &str = "
ALTER TABLE attempts ADD COLUMN arm TEXT;
ALTER TABLE attempts ADD COLUMN service_tier TEXT;
ALTER TABLE attempts ADD COLUMN rule_bps INTEGER;
ALTER TABLE attempts ADD COLUMN rule_fee_pico INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN rule_fee_on_free INTEGER NOT NULL DEFAULT 0 CHECK (rule_fee_on_free IN (0, 1));

DROP TRIGGER attempts_keep_intent;
CREATE TRIGGER attempts_keep_intent
BEFORE UPDATE OF request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, purpose, caller_key, caller_project, caller_team, reserved_pico, arm, rule_bps, rule_fee_pico,
    rule_fee_on_free, markup_source ON attempts
BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END;

DROP INDEX rollups_key;
DROP TABLE rollups;
CREATE TABLE rollups (
    hour                INTEGER NOT NULL,
    simulated           INTEGER NOT NULL CHECK (simulated IN (0, 1)),
    provider            TEXT NOT NULL,
    model               TEXT NOT NULL,
    upstream            TEXT,
    price_snapshot      TEXT NOT NULL,
    caller_key          TEXT NOT NULL,
    caller_project      TEXT,
    caller_team         TEXT,
    task                TEXT,
    tag                 TEXT,
    arm                 TEXT,
    outcome             TEXT,
    cost_status         TEXT NOT NULL,
    first               INTEGER NOT NULL CHECK (first IN (0, 1)),
    attempts            INTEGER NOT NULL,
    prompt_tokens       INTEGER NOT NULL,
    completion_tokens   INTEGER NOT NULL,
    cached_tokens       INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    unknown             INTEGER NOT NULL,
    cost_micro          INTEGER NOT NULL,
    cost_pico           INTEGER NOT NULL,
    markup_micro        INTEGER NOT NULL,
    markup_pico         INTEGER NOT NULL,
    uncached_micro      INTEGER NOT NULL,
    uncached_pico       INTEGER NOT NULL
) STRICT;

CREATE INDEX rollups_key ON rollups (hour, tag, caller_key, model, provider, outcome, cost_status, first, task, upstream,
    caller_project, caller_team, simulated, price_snapshot, arm);

CREATE TABLE lookups (
    request_id          TEXT NOT NULL,
    attempt             INTEGER NOT NULL,
    generation_id       TEXT NOT NULL,
    asked               TEXT NOT NULL,
    began_us            INTEGER NOT NULL,
    since_us            INTEGER NOT NULL,
    next_us             INTEGER,
    tries               INTEGER NOT NULL,
    ended_us            INTEGER,
    outcome             TEXT,
    delta_pico          INTEGER,
    PRIMARY KEY (request_id, attempt),
    CHECK ((next_us IS NULL) = (ended_us IS NOT NULL) AND (ended_us IS NULL) = (outcome IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX lookups_next ON lookups (next_us) WHERE next_us IS NOT NULL;
CREATE INDEX lookups_began ON lookups (began_us);
";

/// What callers think of answers, and the sums of it by model and task. A score is in hundred-thousandths, so that the sums of scores
/// and of their squares are whole numbers: what is taken off when a source changes its mind is what was added, to the last digit.
const V4: &str = "
CREATE TABLE feedback (
    request_id          TEXT NOT NULL,
    source              TEXT NOT NULL,
    attempt             INTEGER NOT NULL,
    score_e5            INTEGER NOT NULL CHECK (score_e5 BETWEEN 0 AND 100000),
    at_us               INTEGER NOT NULL,
    PRIMARY KEY (request_id, source)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER feedback_keep BEFORE UPDATE OF request_id, source, attempt ON feedback
BEGIN SELECT RAISE(ABORT, 'feedback stays with its attempt and source'); END;
CREATE TRIGGER feedback_stay BEFORE DELETE ON feedback
BEGIN SELECT RAISE(ABORT, 'feedback is never deleted'); END;

CREATE TABLE feedback_sums (
    simulated           INTEGER NOT NULL CHECK (simulated IN (0, 1)),
    model               TEXT NOT NULL,
    served_model        TEXT,
    task                TEXT,
    count               INTEGER NOT NULL,
    score_e5            INTEGER NOT NULL,
    square_e10          INTEGER NOT NULL
) STRICT;

CREATE INDEX feedback_sums_key ON feedback_sums (model, task, served_model, simulated);
";

/// Who met which arm of an experiment and what came of it, and what experiments are. Times and waits of these tables (`..._ms`) are
/// milliseconds, as they are given; `covariates` and `named` are JSON objects of numbers, NULL where there are none.
///
/// Each kind of unit has an index of its own, over the outcomes that name one: by an index with all others in it too, what has no such
/// unit would be looked through from end to end.
const V5: &str = "
CREATE TABLE exposures (
    experiment          TEXT NOT NULL,
    unit_key            TEXT NOT NULL CHECK (unit_key IN ('tenant', 'user', 'conversation', 'request')),
    unit                TEXT NOT NULL CHECK (unit <> ''),
    version             INTEGER NOT NULL CHECK (version BETWEEN 0 AND 4294967295),
    arm                 TEXT NOT NULL,
    at_ms               INTEGER NOT NULL,
    forced              INTEGER NOT NULL CHECK (forced IN (0, 1)),
    covariates          TEXT,
    PRIMARY KEY (experiment, unit_key, unit, version, arm)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER exposures_keep BEFORE UPDATE ON exposures
WHEN (NEW.experiment, NEW.unit_key, NEW.unit, NEW.version, NEW.arm)
        IS NOT (OLD.experiment, OLD.unit_key, OLD.unit, OLD.version, OLD.arm)
    OR NEW.at_ms > OLD.at_ms OR NEW.forced < OLD.forced
    OR (NEW.at_ms = OLD.at_ms AND NEW.covariates IS NOT OLD.covariates)
BEGIN SELECT RAISE(ABORT, 'the first exposure is kept'); END;
CREATE TRIGGER exposures_stay BEFORE DELETE ON exposures
BEGIN SELECT RAISE(ABORT, 'an exposure is never deleted'); END;

CREATE TABLE outcomes (
    id                  TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    at_ms               INTEGER NOT NULL,
    tenant              TEXT CHECK (tenant <> ''),
    user                TEXT CHECK (user <> ''),
    conversation        TEXT CHECK (conversation <> ''),
    request             TEXT CHECK (request <> ''),
    failed              INTEGER CHECK (failed IN (0, 1)),
    timeout             INTEGER CHECK (timeout IN (0, 1)),
    fallback            INTEGER CHECK (fallback IN (0, 1)),
    served_model        TEXT,
    success             INTEGER CHECK (success IN (0, 1)),
    score               REAL,
    cost_pico           INTEGER CHECK (cost_pico >= 0),
    latency_ms          INTEGER CHECK (latency_ms >= 0),
    named               TEXT,
    CHECK (coalesce(tenant, user, conversation, request) IS NOT NULL),
    CHECK ((failed IS NULL) = (timeout IS NULL) AND (failed IS NULL) = (fallback IS NULL)),
    CHECK (served_model IS NULL OR failed IS NOT NULL),
    CHECK (NOT (coalesce(failed, 0) AND coalesce(success, 0)))
) STRICT;

CREATE INDEX outcomes_tenant ON outcomes (tenant, at_ms) WHERE tenant IS NOT NULL;
CREATE INDEX outcomes_user ON outcomes (user, at_ms) WHERE user IS NOT NULL;
CREATE INDEX outcomes_conversation ON outcomes (conversation, at_ms) WHERE conversation IS NOT NULL;
CREATE INDEX outcomes_request ON outcomes (request, id) WHERE request IS NOT NULL;

CREATE TRIGGER outcomes_keep BEFORE UPDATE ON outcomes
BEGIN SELECT RAISE(ABORT, 'an outcome is never changed'); END;
CREATE TRIGGER outcomes_stay BEFORE DELETE ON outcomes
BEGIN SELECT RAISE(ABORT, 'an outcome is never deleted'); END;

CREATE TABLE experiments (
    key                 TEXT NOT NULL PRIMARY KEY,
    definition          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER experiments_keep BEFORE UPDATE OF key ON experiments
BEGIN SELECT RAISE(ABORT, 'an experiment keeps its key'); END;
CREATE TRIGGER experiments_stay BEFORE DELETE ON experiments
BEGIN SELECT RAISE(ABORT, 'an experiment is never deleted'); END;
";

/// What a learned policy chose for the call.
const V6: &str = "
ALTER TABLE attempts ADD COLUMN decision TEXT;

DROP TRIGGER attempts_keep_intent;
CREATE TRIGGER attempts_keep_intent
BEFORE UPDATE OF request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, purpose, caller_key, caller_project, caller_team, reserved_pico, arm, rule_bps, rule_fee_pico,
    rule_fee_on_free, markup_source, decision ON attempts
BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END;
";

/// Refuses a linked SQLite that is too old.
pub(crate) fn check_library(found: i32) -> Result<(), OpenError> {
    let version = |number: i32| {
        format!(
            "{}.{}.{}",
            number / 1_000_000,
            number / 1_000 % 1_000,
            number % 1_000
        )
    };
    if found < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite {
            found: version(found),
            needed: version(OLDEST_SQLITE),
        });
    }
    Ok(())
}

/// Looks whether the file begins like a database.
pub(crate) fn check_magic(path: &Path) -> Result<(), OpenError> {
    // SQLite takes an empty file for a new database. Here a new database has its schema before it gets its name, so an empty
    // one has lost its content.
    let mut magic = [0; 16];
    match File::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(OpenError::corrupt(path, "it is empty or cut off"))
        }
        Err(error) => Err(OpenError::unwritable(path)(error)),
        Ok(()) if &magic != b"SQLite format 3\0" => {
            Err(OpenError::corrupt(path, "it is not a SQLite database"))
        }
        Ok(()) => Ok(()),
    }
}

/// Looks whether the file is one of ours, whole, and not newer than this release, by a connection that cannot write. A ledger
/// is read from end to end.
pub(crate) fn inspect(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let version = check_identity(connection, path)?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(OpenError::sqlite(path))?;
    if verdict != "ok" {
        let first_line = verdict.lines().next_back().unwrap_or_default().trim();
        return Err(OpenError::corrupt(path, first_line));
    }
    if version == VERSION {
        check_tables(connection, path)?;
    }
    Ok(())
}

/// Looks whether the file is one of ours and not newer than this release. The version of its schema.
pub(crate) fn check_identity(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(OpenError::sqlite(path))
    };
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let without_tables = number("SELECT count(*) FROM sqlite_schema")? == 0;
    if application != APPLICATION_ID && !(application == 0 && version == 0 && without_tables) {
        return Err(OpenError::NotALedger {
            path: path.to_owned(),
        });
    }
    if version > VERSION {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    Ok(version)
}

/// Looks whether the tables are those that this release reads and writes.
pub(crate) fn check_tables(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if row::fits(connection) {
        return Ok(());
    }
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    Err(match version {
        Ok(found) if found < VERSION => OpenError::Older {
            path: path.to_owned(),
            found,
            known: VERSION,
        },
        _ => OpenError::corrupt(path, "a table of the ledger is missing or incomplete"),
    })
}

/// Brings the schema to this release's version, wholly or not at all.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = all.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let steps = usize::try_from(version)
        .ok()
        .and_then(|version| MIGRATIONS.get(version..));
    let Some(steps) = steps.filter(|steps| !steps.is_empty()) else {
        return Ok(());
    };
    for step in steps {
        all.execute_batch(step)?;
    }
    // What the statements cannot say, once the tables are those that this release knows.
    if (1..BOOKED).contains(&version) {
        row::book_all(&all)?;
    }
    all.pragma_update(None, "application_id", APPLICATION_ID)?;
    all.pragma_update(None, "user_version", VERSION)?;
    all.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_library_is_refused() {
        assert!(check_library(OLDEST_SQLITE).is_ok() && check_library(rusqlite::version_number()).is_ok());
        let error = check_library(3_051_002).unwrap_err().to_string();
        assert_eq!(
            error,
            "SQLite 3.51.2 can damage the ledger; build with the bundled SQLite, or link version 3.51.3 or newer"
        );
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version, VERSION);
        assert!(row::fits(&connection));
    }
}

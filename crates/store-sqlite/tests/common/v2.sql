-- What the second version adds to the first.
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
PRAGMA user_version = 2;

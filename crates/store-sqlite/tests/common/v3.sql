-- What the third version adds to the second.
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
PRAGMA user_version = 3;

-- Schema version 1 as it was released. Never changed.
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
PRAGMA application_id = 0x57505354;
PRAGMA user_version = 1;

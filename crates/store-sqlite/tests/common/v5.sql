-- What the fifth version adds to the fourth.
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

PRAGMA user_version = 5;

-- What the fourth version adds to the third.
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

-- A lease has a term, a number that grows each time it is taken. A row stays when its lease is
-- given back, so that the number never begins anew.
ALTER TABLE lease ADD COLUMN term BIGINT NOT NULL DEFAULT 0;

-- What each background task of each daemon did last; rows of daemons that are gone are pruned.
CREATE TABLE background_task (
    name              TEXT NOT NULL,
    node              TEXT NOT NULL,
    last_started_at   BIGINT,
    last_succeeded_at BIGINT,
    last_duration_ms  BIGINT,
    last_result       TEXT,
    last_error        TEXT,
    runs              BIGINT NOT NULL,
    failures          BIGINT NOT NULL,
    panics            BIGINT NOT NULL,
    seen_at           BIGINT NOT NULL,           -- when the daemon wrote the row
    PRIMARY KEY (name, node)
);

-- What happens to people, also in the future. An event without a key of the caller's has its time as its
-- key.
CREATE TABLE event (
    recipient  BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    key        TEXT NOT NULL,
    keyed      BOOLEAN NOT NULL,             -- whether the caller gave the key
    at         BIGINT NOT NULL,
    attributes TEXT NOT NULL,                -- as JSON
    added_at   BIGINT NOT NULL,              -- when it was first known
    changed_at BIGINT NOT NULL,              -- when it was last moved or changed
    PRIMARY KEY (recipient, kind, key)
);
CREATE INDEX event_at ON event (kind, at);
CREATE INDEX event_changed ON event (kind, changed_at);

-- The kinds there are.
CREATE TABLE event_kind (
    kind TEXT PRIMARY KEY
);

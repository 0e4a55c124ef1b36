-- One word about each provider and subject: of two that were said at one time through one source, the second
-- was taken for the first one come again.
CREATE TABLE consent_by_scope (
    recipient   BIGINT NOT NULL REFERENCES recipient (id),
    at          BIGINT NOT NULL,
    change      TEXT NOT NULL CHECK (change IN ('granted', 'withdrawn')),
    source      TEXT NOT NULL,
    evidence    TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    provider    TEXT NOT NULL DEFAULT '',
    topic       TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (recipient, at, change, source, provider, topic)
);
INSERT INTO consent_by_scope (recipient, at, change, source, evidence, recorded_at, provider, topic)
    SELECT recipient, at, change, source, evidence, recorded_at, provider, topic FROM consent;
DROP TABLE consent;
ALTER TABLE consent_by_scope RENAME TO consent;
CREATE INDEX consent_provider ON consent (provider, recipient) WHERE provider <> '';

CREATE TABLE pending_consent_by_scope (
    hash           TEXT NOT NULL,
    provider       TEXT NOT NULL,            -- '' where a file told it
    at             BIGINT NOT NULL,
    change         TEXT NOT NULL CHECK (change IN ('granted', 'withdrawn')),
    source         TEXT NOT NULL,
    evidence       TEXT NOT NULL,
    recorded_at    BIGINT NOT NULL,
    scope_provider TEXT NOT NULL DEFAULT '',
    topic          TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (hash, provider, at, change, scope_provider, topic)
);
INSERT INTO pending_consent_by_scope
        (hash, provider, at, change, source, evidence, recorded_at, scope_provider, topic)
    SELECT hash, provider, at, change, source, evidence, recorded_at, scope_provider, topic FROM pending_consent;
DROP TABLE pending_consent;
ALTER TABLE pending_consent_by_scope RENAME TO pending_consent;

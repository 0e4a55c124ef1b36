-- What dispatch shares between daemons: limits, templates, media, windows, alerts; and who did what.

-- The moment from which a number's rate has room again; locked while a claim is admitted.
CREATE TABLE admission (
    account TEXT PRIMARY KEY,                -- a provider's or a portfolio's name, with its kind before it
    next_at BIGINT NOT NULL
);

-- What was used of a moving limit, by the bucket of time in which it was used last.
CREATE TABLE quota (
    account TEXT NOT NULL,
    bucket  BIGINT NOT NULL,                 -- its first microsecond
    used    BIGINT NOT NULL,
    PRIMARY KEY (account, bucket)
);

-- Whom a portfolio or number has written to of late.
CREATE TABLE contact (
    account    TEXT NOT NULL,
    recipient  BIGINT NOT NULL,
    counted_at BIGINT NOT NULL,              -- the bucket that the person is counted in
    pair_until BIGINT NOT NULL,              -- the quota borrowed for this pair is paid back then
    PRIMARY KEY (account, recipient)
);
CREATE INDEX contact_recipient ON contact (recipient);
CREATE INDEX contact_counted ON contact (counted_at);

-- Until when a person may be answered in free form.
CREATE TABLE service_window (
    provider   TEXT NOT NULL,
    recipient  BIGINT NOT NULL,
    open_until BIGINT NOT NULL,
    PRIMARY KEY (provider, recipient)
);
CREATE INDEX service_window_recipient ON service_window (recipient);

-- Other names by which a channel calls a person.
CREATE TABLE alias (
    provider  TEXT NOT NULL,
    alias     TEXT NOT NULL,
    recipient BIGINT NOT NULL,
    PRIMARY KEY (provider, alias)
);
CREATE INDEX alias_recipient ON alias (recipient);

-- Media that were handed over, and how the provider knows them.
CREATE TABLE provider_media (
    provider    TEXT NOT NULL,
    url         TEXT NOT NULL,
    handle      TEXT NOT NULL,
    uploaded_at BIGINT NOT NULL,
    PRIMARY KEY (provider, url)
);

-- Templates: tried by a few first, open to all, or parked.
CREATE TABLE provider_template (
    provider   TEXT NOT NULL,
    template   TEXT NOT NULL,
    language   TEXT NOT NULL,                -- '' for none
    stage      TEXT NOT NULL CHECK (stage IN ('canary', 'open', 'parked')),
    room       BIGINT NOT NULL,              -- messages that may go while it is tried
    reason     TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (provider, template, language)
);

-- What people should know of a provider's account.
CREATE TABLE provider_alert (
    provider TEXT NOT NULL,
    code     TEXT NOT NULL,
    what     TEXT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (provider, code)
);

-- What people wrote, until an endpoint of the user's own was told.
CREATE TABLE inbound (
    id        TEXT PRIMARY KEY,
    provider  TEXT NOT NULL,
    recipient BIGINT,
    body      TEXT NOT NULL,
    attempts  BIGINT NOT NULL,
    due_at    BIGINT NOT NULL,
    added_at  BIGINT NOT NULL
);
CREATE INDEX inbound_due ON inbound (due_at);
CREATE INDEX inbound_recipient ON inbound (recipient) WHERE recipient IS NOT NULL;

-- Who paused, resumed, cancelled, rolled back or changed consent, and when. Append-only.
CREATE TABLE audit (
    id      BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
);

-- Who may use the API; of the token itself only a hash is kept.
CREATE TABLE api_token (
    name       TEXT PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,                -- separated by blanks
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- What came back before the call that it answers was settled.
CREATE TABLE early_update (
    body     TEXT PRIMARY KEY,               -- JSON
    first_at BIGINT NOT NULL,
    tried_at BIGINT NOT NULL
);

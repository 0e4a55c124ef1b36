-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 in UTC; ids are made by us.
-- One database is one workspace.

-- Small facts of the workspace: its own secret for the hashes of forgotten people, marks of progress.
CREATE TABLE workspace (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- The next free number of each noun.
CREATE TABLE counter (
    noun TEXT PRIMARY KEY,
    next BIGINT NOT NULL
);

-- Who does what only one may do at a time.
CREATE TABLE lease (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    held_until BIGINT NOT NULL
);

CREATE TABLE recipient (
    id            BIGINT PRIMARY KEY,
    key           TEXT NOT NULL UNIQUE,
    address       TEXT,
    time_zone     TEXT,
    zone_inferred BOOLEAN NOT NULL,
    locale        TEXT,
    country       TEXT,
    tags          TEXT NOT NULL,             -- sorted, as JSON
    attributes    TEXT NOT NULL,             -- as JSON
    consented     BOOLEAN NOT NULL           -- what the ledger's last entry says
);
CREATE INDEX recipient_address ON recipient (address) WHERE address IS NOT NULL;

-- Append-only; only forgetting a person removes rows.
CREATE TABLE consent (
    recipient   BIGINT NOT NULL REFERENCES recipient (id),
    at          BIGINT NOT NULL,
    change      TEXT NOT NULL CHECK (change IN ('granted', 'withdrawn')),
    source      TEXT NOT NULL,
    evidence    TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (recipient, at, change, source)
);

-- What is left of a forgotten person: keyed hashes of key and address.
CREATE TABLE forgotten (
    hash         TEXT PRIMARY KEY,
    person       TEXT NOT NULL,              -- hash of the key, shared by a person's rows
    forgotten_at BIGINT NOT NULL
);

-- Every message that was sent, by whomever, and what came back.
CREATE TABLE message (
    key              TEXT PRIMARY KEY,
    recipient        BIGINT NOT NULL,
    campaign         TEXT,
    channel          TEXT,
    category         TEXT,
    media            TEXT,
    style            TEXT,
    sent_at          BIGINT NOT NULL,
    delivered_at     BIGINT,
    read_at          BIGINT,
    clicked_at       BIGINT,
    replied_at       BIGINT,
    converted_at     BIGINT,
    amount           DOUBLE PRECISION,
    currency         TEXT,
    opted_out_at     BIGINT,
    failed_at        BIGINT,
    failure_code     TEXT,
    propensity       DOUBLE PRECISION,
    provider_message TEXT,
    changed_at       BIGINT NOT NULL
);
CREATE INDEX message_recipient ON message (recipient);
CREATE INDEX message_changed ON message (changed_at);
CREATE INDEX message_provider ON message (provider_message) WHERE provider_message IS NOT NULL;

-- Signs of presence that answer no message.
CREATE TABLE activity (
    recipient  BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (recipient, at, kind)
);
CREATE INDEX activity_changed ON activity (changed_at);

-- The contents that evidence refers to by number.
CREATE TABLE content (
    id    BIGINT PRIMARY KEY,
    media TEXT NOT NULL,
    style TEXT NOT NULL,                     -- '' for none
    UNIQUE (media, style)
);

-- Each person's history as the learner packs it; derived from message and activity.
CREATE TABLE evidence (
    recipient BIGINT PRIMARY KEY,
    packed    BYTEA NOT NULL
);

CREATE TABLE model (
    version    BIGINT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    as_of      BIGINT NOT NULL,
    active     BOOLEAN NOT NULL,
    summary    TEXT NOT NULL,                -- data range, settings and held-out figures, as JSON
    parameters TEXT NOT NULL                 -- as JSON
);

CREATE TABLE campaign (
    id           BIGINT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    source       TEXT NOT NULL,              -- the file as it was submitted
    provider     TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('active', 'paused', 'cancelled', 'finished')),
    submitted_at BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,            -- when the window is over everywhere on earth
    planned_at   BIGINT,
    model        BIGINT,                     -- the version it was planned with
    plan         TEXT                        -- certificate and forecast, as JSON
);

-- One row a person of an audience: decided, done, or refused.
CREATE TABLE delivery (
    campaign        BIGINT NOT NULL REFERENCES campaign (id),
    recipient       BIGINT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    arm             TEXT,
    variant         TEXT,
    variant_index   BIGINT,
    slot_start      BIGINT,
    send_at         BIGINT,                  -- of a planned row: absent while a new decision is due
    value           DOUBLE PRECISION,
    chance          DOUBLE PRECISION,
    runner_up_slot  BIGINT,
    runner_up_value DOUBLE PRECISION,
    propensity      DOUBLE PRECISION,
    not_before      BIGINT,                  -- the provider asked to wait
    attempts        BIGINT NOT NULL,
    lease           TEXT,                    -- the claim that holds it
    lease_until     BIGINT,
    changed_at      BIGINT NOT NULL,
    PRIMARY KEY (campaign, recipient)
);
CREATE INDEX delivery_due ON delivery (campaign, send_at) WHERE state = 'planned';
CREATE INDEX delivery_claimed ON delivery (lease, lease_until) WHERE state = 'claimed';
CREATE INDEX delivery_doubtful ON delivery (campaign, changed_at) WHERE state IN ('in_doubt', 'held');
CREATE INDEX delivery_recipient ON delivery (recipient);

-- What each slot of a plan could take and took.
CREATE TABLE plan_slot (
    campaign   BIGINT NOT NULL REFERENCES campaign (id),
    slot_start BIGINT NOT NULL,
    capacity   BIGINT,                       -- absent: without bound
    reserved   BIGINT NOT NULL,
    planned    BIGINT NOT NULL,
    price      DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (campaign, slot_start)
);

-- A provider, or one template of it, asked to wait; '' is the whole provider.
CREATE TABLE provider_pause (
    provider     TEXT NOT NULL,
    template     TEXT NOT NULL,
    paused_until BIGINT NOT NULL,
    PRIMARY KEY (provider, template)
);

-- What people wrote, with what it is taken for; nothing is kept of whom nobody knows.
CREATE TABLE reply (
    id                   BIGINT PRIMARY KEY,
    provider             TEXT NOT NULL,
    provider_message     TEXT NOT NULL,      -- how the provider calls it
    recipient            BIGINT NOT NULL,
    campaign             BIGINT,             -- that it answers, where that is known
    received_at          BIGINT NOT NULL,
    text                 TEXT NOT NULL,
    language             TEXT NOT NULL,
    language_probability DOUBLE PRECISION NOT NULL,
    intent               TEXT NOT NULL,
    probability          DOUBLE PRECISION NOT NULL,
    stop_probability     DOUBLE PRECISION NOT NULL,
    label                TEXT,               -- the intent as a person told it
    labelled_at          BIGINT,
    needs_human          BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX reply_message ON reply (provider, provider_message);
CREATE INDEX reply_recipient ON reply (recipient);
CREATE INDEX reply_received ON reply (received_at);
CREATE INDEX reply_needs_human ON reply (id) WHERE needs_human;
CREATE INDEX reply_labelled ON reply (labelled_at) WHERE labelled_at IS NOT NULL;

-- Who gets no marketing for a time, by their own word or a machine's.
CREATE TABLE reply_pause (
    recipient    BIGINT PRIMARY KEY,
    reply        BIGINT NOT NULL,
    paused_until BIGINT NOT NULL
);

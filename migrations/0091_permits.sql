-- What people permitted a channel beyond answering them: messages about a subject, some or any number of them,
-- until some time; '' for answers that a channel counts.
CREATE TABLE permit (
    provider   TEXT NOT NULL,
    recipient  BIGINT NOT NULL,
    topic      TEXT NOT NULL,
    token      TEXT NOT NULL,               -- what the channel wants to be shown; '' for nothing
    remaining  BIGINT,                      -- messages; any number where it is missing
    expires_at BIGINT,
    next_at    BIGINT NOT NULL,             -- the next message goes not before
    PRIMARY KEY (provider, recipient, topic)
);
CREATE INDEX permit_recipient ON permit (recipient);

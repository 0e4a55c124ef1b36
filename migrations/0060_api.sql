-- A token may end by itself, and tells when it was last used.
ALTER TABLE api_token ADD COLUMN expires_at BIGINT;
ALTER TABLE api_token ADD COLUMN last_used_at BIGINT;

-- What a request with an idempotency key was answered; kept for a day.
CREATE TABLE api_answer (
    token    TEXT NOT NULL,
    key      TEXT NOT NULL,
    request  TEXT NOT NULL,                  -- a hash of method, path and body
    begun_at BIGINT NOT NULL,
    status   BIGINT,                         -- NULL while it is worked on
    body     TEXT,
    PRIMARY KEY (token, key)
);
CREATE INDEX api_answer_begun ON api_answer (begun_at);

-- Who is signed in on the pages, by a token; under a hash of what the browser keeps.
CREATE TABLE web_session (
    hash       TEXT PRIMARY KEY,
    token      TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

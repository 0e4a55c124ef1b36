-- Named audiences: expressions over what is known of a person.
CREATE TABLE segment (
    name       TEXT PRIMARY KEY,
    expression TEXT NOT NULL,
    saved_at   BIGINT NOT NULL
);

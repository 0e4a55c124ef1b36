-- Which model is in use is one value: two transactions that each put another one in use wait for
-- each other here, where each used to mark a row of its own.
CREATE TABLE model_in_use (
    name    TEXT PRIMARY KEY CHECK (name = 'population'),
    version BIGINT                           -- absent before anything was learned
);
INSERT INTO model_in_use SELECT 'population', MAX(version) FROM model WHERE active;
ALTER TABLE model DROP COLUMN active;

-- How many people of a campaign are in a state and why, as the sum of rows: each transaction that moves
-- people appends what it moves, so that none waits for another; maintenance adds rows up.
CREATE TABLE delivery_count (
    campaign BIGINT NOT NULL,
    state    TEXT NOT NULL,
    reason   TEXT NOT NULL,
    people   BIGINT NOT NULL                 -- below zero: those who left
);
CREATE INDEX delivery_count_campaign ON delivery_count (campaign);
INSERT INTO delivery_count (campaign, state, reason, people)
    SELECT campaign, state, reason, COUNT(*) FROM delivery GROUP BY campaign, state, reason;

-- A batch that a daemon is at work on, until it is settled: one row where each of its messages had
-- an entry in an index, made by the claim and left behind by the settlement.
CREATE TABLE claim (
    lease      TEXT PRIMARY KEY,
    campaign   BIGINT NOT NULL,
    held_until BIGINT NOT NULL,
    recipients TEXT NOT NULL                 -- as JSON
);
INSERT INTO claim
    SELECT lease, campaign, MIN(lease_until),
        '[' || string_agg(CAST(recipient AS TEXT), ',') || ']'
    FROM delivery WHERE state = 'claimed' GROUP BY lease, campaign;
DROP INDEX delivery_claimed;
ALTER TABLE delivery DROP COLUMN lease_until;

-- What caps count of other campaigns: few at a time, where everybody of every campaign was listed.
DROP INDEX delivery_recipient;
CREATE INDEX delivery_under_way ON delivery (recipient)
    WHERE state IN ('claimed', 'in_doubt', 'in_doubt_expired');

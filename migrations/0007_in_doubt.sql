-- SQLite takes a partial index only where a query repeats its words: who is in doubt was looked for
-- among all of a campaign.
DROP INDEX delivery_doubtful;
CREATE INDEX delivery_in_doubt ON delivery (campaign, changed_at) WHERE state = 'in_doubt';

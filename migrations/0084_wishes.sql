-- What a person states of messages: not on some days, only in some parts of the day, only some media. As
-- JSON.
ALTER TABLE recipient ADD COLUMN wishes TEXT NOT NULL DEFAULT '{}';

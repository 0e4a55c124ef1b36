-- A standing campaign's messages are sent by its runs: one for the occurrences of a day, or for a period.
ALTER TABLE campaign ADD COLUMN parent BIGINT;
ALTER TABLE campaign ADD COLUMN run_window TEXT;
CREATE INDEX campaign_parent ON campaign (parent, id) WHERE parent IS NOT NULL;

-- What each person is to be written about by a standing campaign: the occasion, and the run that carries
-- it. One that is refused has its reason here, and the run's delivery is none of its own.
CREATE TABLE occurrence (
    parent     BIGINT NOT NULL REFERENCES campaign (id),
    recipient  BIGINT NOT NULL,
    key        TEXT NOT NULL,                -- of the event, or the year of the attribute's day
    event_at   BIGINT NOT NULL,
    opens_at   BIGINT NOT NULL,
    closes_at  BIGINT NOT NULL,
    run        BIGINT REFERENCES campaign (id),
    refused    TEXT,                         -- why it is not written about
    attributes TEXT NOT NULL,                -- of the event, as JSON
    PRIMARY KEY (parent, recipient, key)
);
CREATE INDEX occurrence_run ON occurrence (run, recipient) WHERE run IS NOT NULL;
CREATE INDEX occurrence_recipient ON occurrence (recipient);

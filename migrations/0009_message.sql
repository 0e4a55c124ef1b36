-- A delivery is its message: one row a person and campaign carries the decision, the call, the
-- provider's id and what came back. What is due lies in a queue of its own; a claim takes it out.

ALTER TABLE delivery ADD COLUMN media TEXT;                   -- of a sent one
ALTER TABLE delivery ADD COLUMN style TEXT;
ALTER TABLE delivery ADD COLUMN sent_at BIGINT;               -- when the provider took it
ALTER TABLE delivery ADD COLUMN provider_message TEXT;        -- how the provider calls it
ALTER TABLE delivery ADD COLUMN delivered_at BIGINT;
ALTER TABLE delivery ADD COLUMN read_at BIGINT;
ALTER TABLE delivery ADD COLUMN clicked_at BIGINT;
ALTER TABLE delivery ADD COLUMN replied_at BIGINT;
ALTER TABLE delivery ADD COLUMN converted_at BIGINT;
ALTER TABLE delivery ADD COLUMN amount DOUBLE PRECISION;
ALTER TABLE delivery ADD COLUMN currency TEXT;
ALTER TABLE delivery ADD COLUMN opted_out_at BIGINT;
ALTER TABLE delivery ADD COLUMN failed_at BIGINT;
ALTER TABLE delivery ADD COLUMN failure_code TEXT;
ALTER TABLE delivery ADD COLUMN failure_text TEXT;
ALTER TABLE delivery ADD COLUMN price DOUBLE PRECISION;       -- what the provider says it charged
ALTER TABLE delivery ADD COLUMN observed_at BIGINT;           -- when it was sent or answered, by our clock

ALTER TABLE campaign ADD COLUMN category TEXT;
ALTER TABLE campaign ADD COLUMN goal TEXT;
-- When everybody in it had ended and all answers that count had come: loops read it no more.
ALTER TABLE campaign ADD COLUMN closed_at BIGINT;
-- Its sums at that moment, as JSON.
ALTER TABLE campaign ADD COLUMN summary TEXT;
CREATE INDEX campaign_open ON campaign (id) WHERE closed_at IS NULL;

-- What closed campaigns forecast and what came.
CREATE TABLE forecast_record (
    campaign BIGINT NOT NULL REFERENCES campaign (id),
    goal     TEXT NOT NULL,
    chosen   BOOLEAN NOT NULL,               -- slots that were chosen, or drawn and fixed ones
    forecast DOUBLE PRECISION NOT NULL,
    engaged  BIGINT NOT NULL,
    PRIMARY KEY (campaign, chosen)
);
CREATE INDEX forecast_record_goal ON forecast_record (goal);

-- Messages that campaigns sent leave the imported history.
UPDATE campaign SET category =
    (SELECT MAX(m.category) FROM message m WHERE m.campaign = campaign.name);
UPDATE delivery SET
        media = m.media, style = m.style, provider_message = m.provider_message,
        delivered_at = m.delivered_at, read_at = m.read_at, clicked_at = m.clicked_at,
        replied_at = m.replied_at, converted_at = m.converted_at, amount = m.amount,
        currency = m.currency, opted_out_at = m.opted_out_at, failed_at = m.failed_at,
        failure_code = m.failure_code, observed_at = m.changed_at, sent_at = m.sent_at
    FROM message m, campaign c
    -- one that the channel gave up and that is planned again stays history: it is yet to be sent
    WHERE delivery.state NOT IN ('planned', 'claimed', 'in_doubt')
        AND c.id = delivery.campaign AND m.key = c.name || ':' || delivery.recipient
        AND m.recipient = delivery.recipient;
DELETE FROM message WHERE EXISTS (SELECT 1 FROM delivery d JOIN campaign c ON c.id = d.campaign
    WHERE d.recipient = message.recipient AND message.campaign = c.name
        AND d.state NOT IN ('planned', 'claimed', 'in_doubt') AND message.key = c.name || ':' || d.recipient);
DROP INDEX message_provider;
ALTER TABLE message DROP COLUMN provider_message;

-- What is due, and nothing else. A planned delivery with a time is here or in a claim.
CREATE TABLE queue (
    campaign  BIGINT NOT NULL,
    due_at    BIGINT NOT NULL,               -- the delivery's send_at
    recipient BIGINT NOT NULL,
    PRIMARY KEY (campaign, due_at, recipient)
);
INSERT INTO queue SELECT campaign, send_at, recipient FROM delivery
    WHERE state = 'planned' AND send_at IS NOT NULL;

-- Whoever is claimed is planned, and in a claim. A try counts when it is settled.
ALTER TABLE claim ADD COLUMN claimed_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX claim_campaign ON claim (campaign);
UPDATE delivery SET state = 'planned', attempts = attempts - 1 WHERE state = 'claimed';

DROP INDEX delivery_due;
DROP INDEX delivery_under_way;
ALTER TABLE delivery DROP COLUMN lease;
CREATE INDEX delivery_recipient ON delivery (recipient);
CREATE INDEX delivery_provider_message ON delivery (provider_message)
    WHERE provider_message IS NOT NULL;
CREATE INDEX delivery_observed ON delivery (observed_at) WHERE sent_at IS NOT NULL;
CREATE INDEX delivery_held ON delivery (campaign, changed_at) WHERE state = 'held';

-- Every message that was sent, by whomever, and what came back.
CREATE VIEW sent_message (recipient, key, campaign, channel, category, media, style, sent_at,
    delivered_at, read_at, clicked_at, replied_at, converted_at, amount, currency, opted_out_at,
    failed_at, failure_code, propensity, observed_at) AS
    SELECT recipient, key, campaign, channel, category, media, style, sent_at, delivered_at,
        read_at, clicked_at, replied_at, converted_at, amount, currency, opted_out_at, failed_at,
        failure_code, propensity, changed_at
    FROM message
    UNION ALL
    SELECT d.recipient, c.name || ':' || d.recipient, c.name, c.provider, c.category, d.media,
        d.style, d.sent_at, d.delivered_at, d.read_at, d.clicked_at, d.replied_at, d.converted_at,
        d.amount, d.currency, d.opted_out_at, d.failed_at, d.failure_code, d.propensity,
        d.observed_at
    FROM delivery d JOIN campaign c ON c.id = d.campaign WHERE d.sent_at IS NOT NULL;

-- Whom a channel cannot reach, by its own word; apart from what people said.
CREATE TABLE suppression (
    provider   TEXT NOT NULL,
    recipient  BIGINT NOT NULL,
    code       TEXT NOT NULL,
    since      BIGINT NOT NULL,
    PRIMARY KEY (provider, recipient)
);
CREATE INDEX suppression_recipient ON suppression (recipient);

-- Words of people whom nobody knows yet, under a keyed hash of the name that they came with.
CREATE TABLE pending_consent (
    hash        TEXT NOT NULL,
    provider    TEXT NOT NULL,               -- '' where a file told it
    at          BIGINT NOT NULL,
    change      TEXT NOT NULL CHECK (change IN ('granted', 'withdrawn')),
    source      TEXT NOT NULL,
    evidence    TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (hash, provider, at, change)
);

-- What speaks of a template has its own time: an older word changes nothing.
ALTER TABLE provider_template ADD COLUMN told_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE provider_template ADD COLUMN accepted BIGINT NOT NULL DEFAULT 0;  -- of the first messages
ALTER TABLE provider_template ADD COLUMN category TEXT;     -- what the channel made of it
ALTER TABLE provider_template ADD COLUMN category_at BIGINT NOT NULL DEFAULT 0;

-- People in a row whom a provider refused alike, with nobody accepted between.
CREATE TABLE refusal_run (
    campaign BIGINT NOT NULL,
    subject  TEXT NOT NULL,
    people   BIGINT NOT NULL,
    PRIMARY KEY (campaign, subject)
);

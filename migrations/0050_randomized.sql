-- What an explorer was drawn, and the chance that each action had for that person when the campaign
-- was first planned: off-policy estimates weigh by it. Rows of earlier versions have none and are left
-- out there.
ALTER TABLE delivery ADD COLUMN drawn TEXT;
ALTER TABLE delivery ADD COLUMN drawn_among TEXT;
-- What was expected of a person before an arm was drawn: experiments are adjusted by it.
ALTER TABLE delivery ADD COLUMN expected_control DOUBLE PRECISION;
ALTER TABLE delivery ADD COLUMN expected_best DOUBLE PRECISION;

-- The same view, with the arm and what was drawn; imported history has neither.
DROP VIEW sent_message;
CREATE VIEW sent_message (recipient, key, campaign, channel, category, media, style, sent_at,
    delivered_at, read_at, clicked_at, replied_at, converted_at, amount, currency, opted_out_at,
    failed_at, failure_code, propensity, observed_at, arm, drawn, drawn_among) AS
    SELECT recipient, key, campaign, channel, category, media, style, sent_at, delivered_at,
        read_at, clicked_at, replied_at, converted_at, amount, currency, opted_out_at, failed_at,
        failure_code, propensity, changed_at, CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT)
    FROM message
    UNION ALL
    SELECT d.recipient, c.name || ':' || d.recipient, c.name, c.provider, c.category, d.media,
        d.style, d.sent_at, d.delivered_at, d.read_at, d.clicked_at, d.replied_at, d.converted_at,
        d.amount, d.currency, d.opted_out_at, d.failed_at, d.failure_code, d.propensity,
        d.observed_at, d.arm, d.drawn, d.drawn_among
    FROM delivery d JOIN campaign c ON c.id = d.campaign WHERE d.sent_at IS NOT NULL;

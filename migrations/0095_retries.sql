-- Who waits for another try, who failed with which code, and who ended otherwise than sent: for pages
-- that show a running campaign. What is planned and sent touches none of them.
CREATE INDEX delivery_retried ON delivery (campaign) WHERE state = 'planned' AND attempts > 0;
CREATE INDEX delivery_failed ON delivery (campaign, failure_code) WHERE failure_code IS NOT NULL;
CREATE INDEX delivery_ended ON delivery (campaign, state, recipient)
    WHERE state NOT IN ('planned', 'sent');

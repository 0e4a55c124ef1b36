-- Who waits for another try, and who failed with which code: for pages that show a running campaign.
CREATE INDEX delivery_retried ON delivery (campaign) WHERE state = 'planned' AND attempts > 0;
CREATE INDEX delivery_failed ON delivery (campaign, failure_code) WHERE failure_code IS NOT NULL;

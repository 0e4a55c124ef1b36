-- What planning asks of deliveries.

-- Whom a provider asked to leave alone for a while.
CREATE INDEX delivery_waits ON delivery (campaign, not_before) WHERE not_before IS NOT NULL;
-- What waits for a new decision.
CREATE INDEX delivery_undecided ON delivery (campaign) WHERE state = 'planned' AND send_at IS NULL;

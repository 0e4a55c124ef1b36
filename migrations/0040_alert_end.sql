-- When what an alert speaks of is over by itself; NULL where nobody told.
ALTER TABLE provider_alert ADD COLUMN until_at BIGINT;

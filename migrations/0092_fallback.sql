-- Messages of a campaign that were not delivered in time, or cannot be, go on another channel: by a campaign of
-- their own, that takes them over from this one.
ALTER TABLE campaign ADD COLUMN fallback_of BIGINT;
CREATE UNIQUE INDEX campaign_fallback ON campaign (fallback_of) WHERE fallback_of IS NOT NULL;

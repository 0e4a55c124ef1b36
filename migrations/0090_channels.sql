-- What a word on consent holds for: one provider alone, one subject alone; '' for all.
ALTER TABLE consent ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE consent ADD COLUMN topic TEXT NOT NULL DEFAULT '';
CREATE INDEX consent_provider ON consent (provider, recipient) WHERE provider <> '';
ALTER TABLE pending_consent ADD COLUMN scope_provider TEXT NOT NULL DEFAULT '';
ALTER TABLE pending_consent ADD COLUMN topic TEXT NOT NULL DEFAULT '';

-- Of the messages of a day, those that were charged as service messages: some of them a month may be free.
ALTER TABLE spend ADD COLUMN service_messages BIGINT NOT NULL DEFAULT 0;

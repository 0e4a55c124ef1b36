-- What a message is expected to cost, by the tariff when it was planned; beside `price`, what was charged.
ALTER TABLE delivery ADD COLUMN expected_price DOUBLE PRECISION;
-- How the channel charged it: the category, and `free` where it did not.
ALTER TABLE delivery ADD COLUMN charged_as TEXT;
-- What a provider charged for messages by day (UTC, days from the epoch), beside what its tariff said before.
CREATE TABLE spend (
    provider TEXT NOT NULL,
    day      BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    expected DOUBLE PRECISION NOT NULL,
    charged  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (provider, day)
);

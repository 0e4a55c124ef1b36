-- What a busy dispatch asks of its tables, and numbers that people have left.

-- Lost claims are looked for by their end; whose they are is asked of a row that is known.
DROP INDEX delivery_claimed;
CREATE INDEX delivery_claimed ON delivery (lease_until) WHERE state = 'claimed';

-- Addresses that people have left, by a channel's word: a file that still has one changes nothing.
CREATE TABLE former_address (
    recipient BIGINT NOT NULL,
    address   TEXT NOT NULL,
    left_at   BIGINT NOT NULL,
    PRIMARY KEY (recipient, address)
);

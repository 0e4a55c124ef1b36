-- Where the links of campaigns lead; each person has a way there of their own, by a signed token.
CREATE TABLE link (
    id       BIGINT PRIMARY KEY,
    campaign BIGINT NOT NULL REFERENCES campaign (id),
    url      TEXT NOT NULL,
    UNIQUE (campaign, url)
);

-- Who came by it, of those who are written to: people, and machines that count as nobody, with the reason.
CREATE TABLE link_visit (
    link      BIGINT NOT NULL,
    campaign  BIGINT NOT NULL,               -- the campaign or run that sent it
    recipient BIGINT NOT NULL,
    uncounted TEXT NOT NULL,                 -- why it is no click; '' for a click
    first_at  BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    visits    BIGINT NOT NULL,
    PRIMARY KEY (campaign, recipient, link, uncounted)
);
CREATE INDEX link_visit_recipient ON link_visit (recipient);

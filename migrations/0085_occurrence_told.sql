-- Of an occasion that moved after its message: for when the message said it was.
ALTER TABLE occurrence ADD COLUMN told_at BIGINT;

-- Marks of the webhooks that were received, so that none is taken twice: the id that the sender gave
-- a delivery, and its signature, which a replay under another id would still carry.
CREATE TABLE backstay_received (
  hook TEXT NOT NULL,
  mark TEXT NOT NULL,
  event TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  PRIMARY KEY (hook, mark)
) STRICT, WITHOUT ROWID;
CREATE INDEX backstay_received_at ON backstay_received (received_at);

-- Who changed what. The id is made of the time, so its order is that of the changes.
CREATE TABLE backstay_audit (
  id TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  sub TEXT NOT NULL,
  tenant TEXT NOT NULL,
  request TEXT NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  status INTEGER,
  changes TEXT NOT NULL
) STRICT;
CREATE INDEX backstay_audit_age ON backstay_audit (at);

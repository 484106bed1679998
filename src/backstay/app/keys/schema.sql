-- API keys. Of a key itself only the hash is kept.
CREATE TABLE backstay_keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  hash TEXT NOT NULL,
  sub TEXT NOT NULL,
  tenant TEXT NOT NULL,
  roles TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ends_at INTEGER,
  revoked_at INTEGER,
  used_at INTEGER,
  replaces TEXT
) STRICT;
CREATE UNIQUE INDEX backstay_keys_hash ON backstay_keys (hash);

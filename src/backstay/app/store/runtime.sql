-- The runtime's own tables. Names begin with backstay_, so that an entity can have any other name.

-- Every program that was ever served here, so that any replica can resume what an old one began.
CREATE TABLE backstay_programs (
  hash TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  sources TEXT NOT NULL,
  loaded_at INTEGER NOT NULL
) STRICT;

-- The tables as the last accepted program declared them; what differs from it is a migration.
CREATE TABLE backstay_shape (
  relation TEXT NOT NULL,
  item TEXT NOT NULL,
  definition TEXT NOT NULL,
  PRIMARY KEY (relation, item)
) STRICT, WITHOUT ROWID;

-- What was done to the tables, and what takes it back; `shape` is what they were before.
CREATE TABLE backstay_migrations (
  id TEXT PRIMARY KEY,
  program TEXT NOT NULL,
  changes TEXT NOT NULL,
  undo TEXT,
  shape TEXT NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT;

-- Answers of requests that carried an Idempotency-Key, committed together with what they did.
CREATE TABLE backstay_idempotency (
  owner TEXT NOT NULL,
  route TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status INTEGER NOT NULL,
  body BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (owner, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX backstay_idempotency_age ON backstay_idempotency (created_at);

-- Seeds that were taken, each once.
CREATE TABLE backstay_seeds (
  id TEXT PRIMARY KEY,
  rows INTEGER NOT NULL,
  taken_at INTEGER NOT NULL
) STRICT;

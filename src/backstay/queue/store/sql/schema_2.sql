-- What the whole queue needs, in a shape that costs less on every step: small bodies lie in the row,
-- a queue is a number, and so is a state:
-- 0 ready · 1 delayed · 2 leased · 3 completed · 4 failed · 5 dead · 6 cancelled
-- 7 ready, but set aside while its key is at a bound of the queue's policy
ALTER TABLE task RENAME TO task_1;

CREATE TABLE queue (
  id      INTEGER PRIMARY KEY,
  tenant  TEXT NOT NULL,
  command TEXT NOT NULL,
  UNIQUE (command, tenant)
) STRICT;
INSERT INTO queue (tenant, command) SELECT DISTINCT tenant, command FROM task_1;

-- The columns that change with every step stand in front.
CREATE TABLE task (
  seq             INTEGER PRIMARY KEY,
  queue           INTEGER NOT NULL,
  state           INTEGER NOT NULL CHECK (state BETWEEN 0 AND 7),
  updated_at      REAL NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0,
  due_at          REAL NOT NULL,
  worker          TEXT NOT NULL DEFAULT '',
  lease_token     TEXT NOT NULL DEFAULT '',
  lease_until     REAL NOT NULL DEFAULT 0,  -- wall time, for people
  lease_seconds   REAL NOT NULL DEFAULT 0,
  lease_tick      REAL NOT NULL DEFAULT 0,  -- monotonic time of the running process, for judging
  claimed_at      REAL NOT NULL DEFAULT 0,
  ended_at        REAL NOT NULL DEFAULT 0,
  unacked         INTEGER NOT NULL DEFAULT 0, -- 1: the reader of reply_to has not stored its end
  error           TEXT NOT NULL DEFAULT '',
  progress        TEXT NOT NULL DEFAULT '',
  result          TEXT DEFAULT '',          -- NULL: large, in the table result
  payload         TEXT,                     -- NULL: large, in the table payload
  id              TEXT NOT NULL,
  priority        INTEGER NOT NULL,
  max_attempts    INTEGER NOT NULL,
  created_at      REAL NOT NULL,
  idempotency_key TEXT NOT NULL DEFAULT '',
  fingerprint     TEXT NOT NULL DEFAULT '',
  reply_to        TEXT NOT NULL DEFAULT '',
  webhook         TEXT NOT NULL DEFAULT '',
  tags            TEXT NOT NULL DEFAULT '', -- a JSON list; for searching they are in the table tag
  key             TEXT NOT NULL DEFAULT '',
  trace           TEXT NOT NULL DEFAULT ''
) STRICT;

INSERT INTO task (seq, queue, state, updated_at, attempts, due_at, worker, lease_token, lease_until,
                  lease_seconds, lease_tick, claimed_at, ended_at, unacked, error, result, payload,
                  id, priority, max_attempts, created_at, idempotency_key, fingerprint, reply_to,
                  webhook)
SELECT t.seq, q.id,
       CASE t.state WHEN 'ready' THEN 0 WHEN 'delayed' THEN 1 WHEN 'leased' THEN 2
         WHEN 'completed' THEN 3 WHEN 'failed' THEN 4 WHEN 'dead' THEN 5 ELSE 6 END,
       t.updated_at, t.attempts, t.due_at, t.worker, t.lease_token, t.lease_until,
       t.lease_seconds, t.lease_tick,
       CASE WHEN t.state = 'leased' THEN t.lease_until - t.lease_seconds ELSE 0 END,
       t.ended_at, t.unacked, t.error, iif(r.seq IS NULL, '', NULL), NULL,
       t.id, t.priority, t.max_attempts, t.created_at, t.idempotency_key, t.fingerprint,
       t.reply_to, t.webhook
FROM task_1 t JOIN queue q USING (tenant, command) LEFT JOIN result r USING (seq);
DROP TABLE task_1;

-- One index per question; each holds only the tasks that can be an answer.
CREATE UNIQUE INDEX task_id ON task (id);
CREATE INDEX task_ready   ON task (queue, priority DESC, due_at, seq)      WHERE state = 0;
CREATE INDEX task_aside   ON task (queue, key, priority DESC, due_at, seq) WHERE state = 7;
CREATE INDEX task_due     ON task (due_at, queue)                          WHERE state = 1;
CREATE INDEX task_leased  ON task (lease_tick, queue)                      WHERE state = 2;
CREATE INDEX task_queue   ON task (queue, seq);
CREATE INDEX task_over    ON task (queue, state, seq)          WHERE state BETWEEN 3 AND 6;
CREATE INDEX task_ended   ON task (ended_at)              WHERE state BETWEEN 3 AND 6 AND unacked = 0;
CREATE INDEX task_unread  ON task (reply_to, ended_at, seq)                WHERE unacked = 1;
CREATE INDEX task_key     ON task (key, queue, state)                      WHERE key <> '';
CREATE UNIQUE INDEX task_once ON task (queue, idempotency_key)             WHERE idempotency_key <> '';

CREATE TABLE tag (
  name TEXT NOT NULL,
  seq  INTEGER NOT NULL,
  PRIMARY KEY (name, seq)
) STRICT, WITHOUT ROWID;

-- Deliveries that did not end their task; the last one is told by the task's row.
CREATE TABLE attempt (
  seq        INTEGER NOT NULL,
  number     INTEGER NOT NULL,
  worker     TEXT NOT NULL,
  started_at REAL NOT NULL,
  ended_at   REAL NOT NULL,
  outcome    TEXT NOT NULL,
  error      TEXT NOT NULL,
  PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
  number   INTEGER PRIMARY KEY AUTOINCREMENT,
  seq      INTEGER NOT NULL,
  url      TEXT NOT NULL,
  due_at   REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  error    TEXT NOT NULL DEFAULT '',
  given_up INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX delivery_due  ON delivery (given_up, due_at, number);
CREATE INDEX delivery_task ON delivery (seq);

-- Small tables that are read whole or by their name; `body` is the rest as JSON.
CREATE TABLE policy (
  tenant  TEXT NOT NULL,
  command TEXT NOT NULL,
  body    TEXT NOT NULL,
  PRIMARY KEY (tenant, command)
) STRICT, WITHOUT ROWID;

CREATE TABLE periodic (
  tenant TEXT NOT NULL,
  name   TEXT NOT NULL,
  body   TEXT NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscription (
  tenant TEXT NOT NULL,
  id     TEXT NOT NULL,
  body   TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

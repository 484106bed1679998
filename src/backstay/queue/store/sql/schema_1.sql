-- A task's body is written once and never again, so it lives apart from the row that changes with
-- every step. `seq` is the arrival number; requeued tasks keep it.
CREATE TABLE task (
  seq             INTEGER PRIMARY KEY,
  id              TEXT NOT NULL UNIQUE,
  tenant          TEXT NOT NULL,
  command         TEXT NOT NULL,
  state           TEXT NOT NULL CHECK (state IN
                    ('ready', 'delayed', 'leased', 'completed', 'failed', 'dead', 'cancelled')),
  priority        INTEGER NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0,
  max_attempts    INTEGER NOT NULL,
  due_at          REAL NOT NULL,
  created_at      REAL NOT NULL,
  updated_at      REAL NOT NULL,
  worker          TEXT NOT NULL DEFAULT '',
  lease_token     TEXT NOT NULL DEFAULT '',
  lease_until     REAL NOT NULL DEFAULT 0,  -- wall time, for people
  lease_seconds   REAL NOT NULL DEFAULT 0,
  lease_tick      REAL NOT NULL DEFAULT 0,  -- monotonic time of the running process, for judging
  idempotency_key TEXT NOT NULL DEFAULT '',
  fingerprint     TEXT NOT NULL DEFAULT '',
  reply_to        TEXT NOT NULL DEFAULT '',
  unacked         INTEGER NOT NULL DEFAULT 0,
  webhook         TEXT NOT NULL DEFAULT '',
  error           TEXT NOT NULL DEFAULT '',
  ended_at        REAL NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE payload (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE result  (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

-- One index per question; each holds only the tasks that can be an answer.
CREATE INDEX task_ready   ON task (command, tenant, priority DESC, due_at, seq)
  WHERE state = 'ready';
CREATE INDEX task_due     ON task (due_at, command, tenant)     WHERE state = 'delayed';
CREATE INDEX task_leased  ON task (lease_tick, command, tenant) WHERE state = 'leased';
CREATE INDEX task_dead    ON task (command, tenant, seq)        WHERE state = 'dead';
CREATE INDEX task_ended   ON task (ended_at)
  WHERE state IN ('completed', 'failed', 'dead', 'cancelled') AND unacked = 0;
CREATE INDEX task_unacked ON task (reply_to, ended_at, seq)     WHERE unacked = 1;
CREATE UNIQUE INDEX task_once ON task (tenant, command, idempotency_key)
  WHERE idempotency_key <> '';

-- The durable side of workflows and jobs. Times are epoch seconds (REAL); payloads are JSON text.
-- Every row here is the truth: processes, queues and timers only carry it.

-- One row per workflow of the program being served; `id` is the workflow's name (seed C4).
CREATE TABLE workflows (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    program TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    description TEXT NOT NULL DEFAULT '',
    steps INTEGER NOT NULL DEFAULT 0,
    timeout REAL NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX workflows_status ON workflows (status);

-- `program` pins the execution to the sources it was started with (decision 9). `reason` says why
-- it compensates; `run` counts retries by a person.
CREATE TABLE executions (
    id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL,
    program TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    run INTEGER NOT NULL DEFAULT 1,
    input TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    deadline REAL
) WITHOUT ROWID;
CREATE INDEX executions_workflow ON executions (workflow_id, created_at, id);
CREATE INDEX executions_status ON executions (status, created_at, id);
CREATE INDEX executions_created ON executions (created_at, id);
CREATE INDEX executions_deadline ON executions (deadline)
    WHERE deadline IS NOT NULL AND status = 'running';

-- The facts and the work list at once. `position` is the step's place, -1 the on_fail block; `item`
-- counts the items of a for_each, whose own row has -1 and waits for theirs.
-- `due_at` is when a pending row may run, or when the answer of a waiting row is given up.
-- `unknown` = 1 once any attempt may have had an effect that nobody saw; it stays.
-- `compensation` is what will undo the step, recorded before its first attempt.
CREATE TABLE steps (
    execution TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    phase TEXT NOT NULL,
    position INTEGER NOT NULL,
    item INTEGER NOT NULL DEFAULT -1,
    name TEXT NOT NULL,
    workflow TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL,
    key TEXT NOT NULL,
    unknown INTEGER NOT NULL DEFAULT 0,
    compensation TEXT NOT NULL DEFAULT '',
    lease_token TEXT,
    lease_owner TEXT,
    lease_seconds REAL,
    started_at REAL,
    ended_at REAL,
    input TEXT,
    output TEXT,
    error TEXT,
    PRIMARY KEY (execution, phase, position, item)
) WITHOUT ROWID;
CREATE INDEX steps_due ON steps (kind, due_at) WHERE state = 'pending';
CREATE INDEX steps_leased ON steps (lease_owner) WHERE state = 'running';
CREATE INDEX steps_waiting ON steps (due_at) WHERE state = 'waiting';

-- Attempts that did not end in `done`, and those a person's retry set aside. The last attempt of a
-- step stands in its own row, so a step that works at once costs no row here.
CREATE TABLE attempts (
    execution TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    phase TEXT NOT NULL,
    position INTEGER NOT NULL,
    item INTEGER NOT NULL DEFAULT -1,
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    input TEXT,
    output TEXT,
    error TEXT,
    started_at REAL,
    ended_at REAL,
    PRIMARY KEY (execution, phase, position, item, run, attempt)
) WITHOUT ROWID;

-- Calls for outside workers that nobody has answered. state: new (to be sent), sent, cancel.
CREATE TABLE outbox (
    key TEXT PRIMARY KEY,
    execution TEXT NOT NULL,
    phase TEXT NOT NULL,
    position INTEGER NOT NULL,
    item INTEGER NOT NULL DEFAULT -1,
    attempt INTEGER NOT NULL,
    command TEXT NOT NULL,
    payload TEXT NOT NULL,
    expires_at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'new',
    sends INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    resend_at REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX outbox_unsent ON outbox (created_at) WHERE state <> 'sent';
CREATE INDEX outbox_resend ON outbox (resend_at) WHERE state = 'sent';
CREATE INDEX outbox_step ON outbox (execution);

-- Answers of outside workers, stored in the commit that used them and before their acknowledgement.
CREATE TABLE inbox (
    key TEXT PRIMARY KEY,
    ok INTEGER NOT NULL,
    output TEXT NOT NULL,
    error TEXT NOT NULL,
    used INTEGER NOT NULL,
    received_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX inbox_received ON inbox (received_at);

-- The jobs of the program being served; `since` is where catch-up begins.
CREATE TABLE jobs (
    name TEXT PRIMARY KEY,
    program TEXT NOT NULL,
    schedule TEXT NOT NULL,
    timezone TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    description TEXT NOT NULL DEFAULT '',
    since REAL NOT NULL
) WITHOUT ROWID;

-- One row per fire time: unique, so no job fires twice (decision 10). The next fire time of each
-- job stands here as `pending` before it comes, so that it can be seen and cancelled (seed C28).
CREATE TABLE job_runs (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    fire_at REAL NOT NULL,
    cause TEXT NOT NULL,
    status TEXT NOT NULL,
    execution TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    UNIQUE (job, fire_at)
) WITHOUT ROWID;
CREATE INDEX job_runs_status ON job_runs (status, fire_at, id);
CREATE INDEX job_runs_due ON job_runs (fire_at) WHERE status = 'pending';
CREATE INDEX job_runs_execution ON job_runs (execution) WHERE execution <> '';

-- Events that were emitted: in the emitter's commit, with a row for each of their targets. `origin`
-- is the execution or the job that emitted it, `cause` the event that an `on … do emit` followed.
CREATE TABLE events (
    id TEXT PRIMARY KEY,
    event TEXT NOT NULL,
    payload TEXT NOT NULL,
    origin TEXT NOT NULL DEFAULT '',
    cause TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_origin ON events (origin) WHERE origin <> '';
CREATE INDEX events_created ON events (created_at, id);
CREATE INDEX events_event ON events (event, created_at, id);

-- Where an event went. `target` is `workflow:NAME`, `emit:NAME`, `signal:EXECUTION`, `webhook:NAME` or
-- `integration:NAME.OPERATION`; the first three are settled in the event's own commit. `run` counts
-- replays. state: pending, running, done, failed.
CREATE TABLE backstay_deliveries (
    id TEXT PRIMARY KEY,
    event TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    target TEXT NOT NULL,
    run INTEGER NOT NULL DEFAULT 1,
    state TEXT NOT NULL,
    made TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL,
    lease_owner TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    ended_at REAL,
    UNIQUE (event, target, run)
) WITHOUT ROWID;
CREATE INDEX backstay_deliveries_due ON backstay_deliveries (due_at) WHERE state = 'pending';
CREATE INDEX backstay_deliveries_leased ON backstay_deliveries (due_at) WHERE state = 'running';
CREATE INDEX backstay_deliveries_failed ON backstay_deliveries (event) WHERE state = 'failed';

CREATE TABLE backstay_delivery_attempts (
    delivery TEXT NOT NULL REFERENCES backstay_deliveries (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    started_at REAL NOT NULL,
    took REAL NOT NULL,
    PRIMARY KEY (delivery, attempt)
) WITHOUT ROWID;

-- Signals for executions, which may come before the step that waits for them.
CREATE TABLE backstay_signals (
    id TEXT PRIMARY KEY,
    execution TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX backstay_signals_waiting ON backstay_signals (execution, name, id) WHERE used = 0;

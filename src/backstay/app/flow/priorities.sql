-- How urgent a call to an outside worker is: 9 is served first, 0 last. The queue of its job says so.
ALTER TABLE outbox ADD COLUMN priority INTEGER NOT NULL DEFAULT 3;

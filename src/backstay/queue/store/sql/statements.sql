-- name: insert
INSERT INTO task (id, tenant, command, state, priority, max_attempts, due_at, created_at,
                  updated_at, idempotency_key, fingerprint, reply_to, webhook)
VALUES (:id, :tenant, :command, :state, :priority, :max_attempts, :due_at, :now,
        :now, :idempotency_key, :fingerprint, :reply_to, :webhook)

-- name: insert_payload
INSERT INTO payload (seq, body) VALUES (?, ?)

-- name: by_id
SELECT {columns} FROM task t JOIN payload p USING (seq) LEFT JOIN result r USING (seq)
WHERE t.id = ?

-- name: by_key
SELECT fingerprint, id FROM task WHERE tenant = ? AND command = ? AND idempotency_key = ?
  AND idempotency_key <> ''

-- name: pick
SELECT {columns} FROM task t INDEXED BY task_ready CROSS JOIN payload p USING (seq)
LEFT JOIN result r USING (seq)
WHERE t.state = 'ready' AND t.command = ? AND t.tenant = ?
ORDER BY t.priority DESC, t.due_at, t.seq LIMIT ?

-- name: lease
UPDATE task SET state = 'leased', attempts = attempts + 1, worker = :worker,
  lease_token = :token, lease_until = :until, lease_seconds = :seconds, lease_tick = :tick,
  updated_at = :now
WHERE seq = :seq

-- name: extend
UPDATE task SET lease_until = :until, lease_seconds = :seconds, lease_tick = :tick,
  updated_at = :now
WHERE seq = :seq

-- name: put_off
UPDATE task SET state = 'delayed', attempts = :attempts, due_at = :due_at, worker = '',
  lease_token = '', lease_until = 0, lease_tick = 0, error = :error, updated_at = :now
WHERE seq = :seq

-- name: end
UPDATE task SET state = :state, error = :error, ended_at = :now, updated_at = :now,
  lease_until = 0, lease_tick = 0, unacked = (reply_to <> '')
WHERE seq = :seq

-- name: insert_result
INSERT INTO result (seq, body) VALUES (?, ?)

-- name: make_ready
UPDATE task SET state = 'ready', updated_at = :now WHERE seq = :seq

-- name: redrive
UPDATE task SET state = 'ready', attempts = 0, due_at = :now, worker = '', lease_token = '',
  error = '', ended_at = 0, unacked = 0, updated_at = :now
WHERE seq = :seq

-- name: due_tasks
SELECT seq, tenant, command FROM task WHERE state = 'delayed' AND due_at <= ?
ORDER BY due_at LIMIT ?

-- name: ended_leases
SELECT {columns} FROM task t JOIN payload p USING (seq) LEFT JOIN result r USING (seq)
WHERE t.state = 'leased' AND t.lease_tick <= ? ORDER BY t.lease_tick LIMIT ?

-- name: past_retention
SELECT seq FROM task WHERE state IN ('completed', 'failed', 'dead', 'cancelled') AND unacked = 0 AND ended_at <= ?
ORDER BY ended_at LIMIT ?

-- name: purgeable
SELECT seq FROM task WHERE state IN ('completed', 'failed', 'dead', 'cancelled') AND unacked = 0 AND ended_at < :before
  AND (:tenant = '*' OR tenant = :tenant) AND (:command = '' OR command = :command)
ORDER BY ended_at LIMIT :limit

-- name: delete_task
DELETE FROM task WHERE seq = ?

-- name: delete_payload
DELETE FROM payload WHERE seq = ?

-- name: delete_result
DELETE FROM result WHERE seq = ?

-- name: ack
UPDATE task SET unacked = 0, updated_at = :now WHERE id = :id AND reply_to = :reply_to
  AND unacked = 1 AND (:tenant = '*' OR tenant = :tenant)

-- name: next_due
SELECT min(due_at) FROM task WHERE state = 'delayed'

-- name: next_lease
SELECT min(lease_tick) FROM task WHERE state = 'leased'

-- name: next_retention
SELECT min(ended_at) FROM task WHERE state IN ('completed', 'failed', 'dead', 'cancelled') AND unacked = 0

-- name: recompute_leases
UPDATE task SET lease_tick = :tick + min(max(lease_until - :now, 0), lease_seconds)
WHERE state = 'leased'

-- name: next_command
SELECT min(command) FROM task WHERE state = 'ready' AND command > ?

-- name: next_tenant
SELECT min(tenant) FROM task WHERE state = 'ready' AND command = ? AND tenant > ?

-- name: count_ready
SELECT tenant, command, count(*), min(due_at) FROM task WHERE state = 'ready'
  AND (:command = '' OR command = :command) GROUP BY command, tenant

-- name: count_delayed
SELECT tenant, command, count(*), 0.0 FROM task INDEXED BY task_due WHERE state = 'delayed'
  AND (:command = '' OR command = :command) GROUP BY command, tenant

-- name: count_leased
SELECT tenant, command, count(*), 0.0 FROM task INDEXED BY task_leased WHERE state = 'leased'
  AND (:command = '' OR command = :command) GROUP BY command, tenant

-- name: count_dead
SELECT tenant, command, count(*), 0.0 FROM task WHERE state = 'dead'
  AND (:command = '' OR command = :command) GROUP BY command, tenant

-- name: audit_no_payload
SELECT t.seq, t.id FROM task t LEFT JOIN payload p USING (seq) WHERE p.seq IS NULL

-- name: audit_orphan_payload
SELECT p.seq, '' FROM payload p LEFT JOIN task t USING (seq) WHERE t.seq IS NULL

-- name: audit_orphan_result
SELECT r.seq, '' FROM result r LEFT JOIN task t USING (seq) WHERE t.seq IS NULL

-- name: audit_ended_state
SELECT seq, id FROM task WHERE (ended_at > 0) <>
  (state IN ('completed', 'failed', 'dead', 'cancelled'))

-- name: audit_leaseless
SELECT seq, id FROM task WHERE state = 'leased' AND (worker = '' OR lease_tick = 0)

-- name: repair_ended
UPDATE task SET ended_at = CASE
  WHEN state IN ('completed', 'failed', 'dead', 'cancelled') THEN :now ELSE 0 END
WHERE seq = :seq

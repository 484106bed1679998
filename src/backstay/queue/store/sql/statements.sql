-- name: insert
INSERT INTO task (queue, state, updated_at, due_at, payload, id, priority, max_attempts, created_at,
                  idempotency_key, fingerprint, reply_to, webhook, tags, key, trace)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_plain
INSERT INTO task (queue, state, updated_at, due_at, payload, id, priority, max_attempts, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_payload
INSERT INTO payload (seq, body) VALUES (?, ?)

-- name: insert_result
INSERT INTO result (seq, body) VALUES (?, ?)

-- name: insert_tag
INSERT OR IGNORE INTO tag (name, seq) VALUES (?, ?)

-- name: insert_queue
INSERT INTO queue (tenant, command) VALUES (?, ?)

-- name: by_id
SELECT {columns} FROM task t WHERE t.id = ?

-- name: by_key
SELECT fingerprint, id FROM task WHERE queue = ? AND idempotency_key = ? AND idempotency_key <> ''

-- name: pick
SELECT {columns} FROM task t INDEXED BY task_ready
WHERE t.state = 0 AND t.queue = ? ORDER BY t.priority DESC, t.due_at, t.seq LIMIT ?

-- name: pick_all
SELECT json_group_array(seq) FROM (
  SELECT t.seq FROM task t INDEXED BY task_ready
  WHERE t.state = 0 AND t.queue = ? ORDER BY t.priority DESC, t.due_at, t.seq LIMIT ?
)

-- name: lease_all
UPDATE task SET state = 2, updated_at = :now, attempts = attempts + 1, worker = :worker,
  lease_token = g.token, lease_until = :until, lease_seconds = :seconds, lease_tick = :tick,
  claimed_at = :now
FROM (SELECT CAST(key AS INTEGER) AS seq, value AS token FROM json_each(:tokens)) g
WHERE task.seq = g.seq

-- name: show_all
-- Tasks as the worker is shown them that has just leased them: what `api.wire.task_view` makes of
-- one. tests/queue/test_shown.py compares the two. What is the same for all is bound as JSON.
SELECT CAST(group_concat(
    '{"id":' || json_quote(id) || :command_json || ',"payload":'
    || json_quote(coalesce(payload, (SELECT p.body FROM payload p WHERE p.seq = s.seq), ''))
    || ',"status":"IN_PROGRESS","createdAt":"'
    || strftime('%Y-%m-%dT%H:%M:%S.', second + micros / 1000000, 'unixepoch')
    || format('%06dZ', micros % 1000000) || :updated_json
    || iif(priority = 0, '', ',"priority":' || priority)
    || :lease_json || lease_token || '","attempts":' || attempts
    || iif(max_attempts = 0, '', ',"maxAttempts":' || max_attempts)
    || iif(error = '', '', ',"error":' || json_quote(error)) || :tenant_json
    || iif(idempotency_key = '', '', ',"idempotencyKey":' || json_quote(idempotency_key))
    || iif(reply_to = '', '', ',"replyTo":' || json_quote(reply_to))
    || ',"lastKnownLocation":"INPROG_SET"'
    || iif(webhook = '', '', ',"webhook":' || json_quote(webhook))
    || iif(tags = '', '', ',"tags":' || tags)
    || iif(key = '', '', ',"key":' || json_quote(key))
    || iif(progress = '', '', ',"progress":' || progress) || :claimed_json
    || iif(trace = '', '', ',"traceParent":' || json_quote(trace)) || '}',
    ',') AS BLOB),
  json_group_array(max(due_at, created_at))
FROM (
  SELECT t.*, CAST(t.created_at AS INTEGER) AS second,
    -- Half to even, as Python rounds: the sum has no room for a fraction.
    CAST((t.created_at - CAST(t.created_at AS INTEGER)) * 1e6 + 6755399441055744.0
      - 6755399441055744.0 AS INTEGER) AS micros
  FROM json_each(:tokens) g CROSS JOIN task t ON t.seq = CAST(g.key AS INTEGER)
) s

-- name: finishing
SELECT t.queue, count(*), json_group_array(t.created_at), max(t.webhook <> ''),
  json_group_array(DISTINCT t.reply_to) FILTER (WHERE t.reply_to <> '')
FROM json_each(:tokens) g CROSS JOIN task t ON t.id = g.key
WHERE t.state = 2 AND t.worker = :worker AND t.lease_token = g.value
GROUP BY t.queue

-- name: finish_all
UPDATE task SET state = 3, updated_at = :now, lease_until = 0, lease_tick = 0, ended_at = :now,
  unacked = reply_to <> '', error = '', result = g.result
FROM (SELECT key AS id, value AS result FROM json_each(:results)) g
WHERE task.id = g.id

-- name: lease
UPDATE task SET state = 2, updated_at = ?, attempts = ?, worker = ?, lease_token = ?,
  lease_until = ?, lease_seconds = ?, lease_tick = ?, claimed_at = ?
WHERE seq = ?

-- name: extend
UPDATE task SET lease_until = ?, lease_seconds = ?, lease_tick = ?, progress = ?, updated_at = ?
WHERE seq = ?

-- name: put_off
UPDATE task SET state = :state, attempts = :attempts, due_at = :due_at, worker = '', lease_token = '',
  lease_until = 0, lease_tick = 0, error = :error, updated_at = :now
WHERE seq = :seq

-- name: end
UPDATE task SET state = ?, updated_at = ?, lease_until = 0, lease_tick = 0, ended_at = ?,
  unacked = ?, error = ?, result = ?
WHERE seq = ?

-- name: wait_until
UPDATE task SET state = :state, due_at = :due_at, updated_at = :now WHERE seq = :seq

-- name: make_ready
UPDATE task SET state = 0, updated_at = ? WHERE seq = ?

-- name: redrive
UPDATE task SET state = :state, attempts = 0, due_at = :due_at, worker = '', lease_token = '',
  claimed_at = 0, error = '', progress = '', result = '', ended_at = 0, unacked = 0,
  updated_at = :now
WHERE seq = :seq

-- name: due_tasks
SELECT {columns} FROM task t WHERE t.state = 1 AND t.due_at <= ? ORDER BY t.due_at LIMIT ?

-- name: ended_leases
SELECT {columns} FROM task t WHERE t.state = 2 AND t.lease_tick <= ? ORDER BY t.lease_tick LIMIT ?

-- name: past_retention
SELECT seq, tags FROM task WHERE state BETWEEN 3 AND 6 AND unacked = 0 AND ended_at <= ?
ORDER BY ended_at LIMIT ?

-- name: purgeable
SELECT t.seq, t.tags FROM task t CROSS JOIN queue q ON q.id = t.queue
WHERE t.state BETWEEN 3 AND 6 AND t.unacked = 0 AND t.ended_at < :before
  AND (:tenant = '*' OR q.tenant = :tenant) AND (:command = '' OR q.command = :command)
  AND (:states = 0 OR :states & (1 << t.state))
ORDER BY t.ended_at LIMIT :limit

-- name: delete_task
DELETE FROM task WHERE seq = ?

-- name: delete_payload
DELETE FROM payload WHERE seq = ?

-- name: delete_result
DELETE FROM result WHERE seq = ?

-- name: delete_attempts
DELETE FROM attempt WHERE seq = ?

-- name: delete_deliveries
DELETE FROM delivery WHERE seq = ?

-- name: delete_tag
DELETE FROM tag WHERE name = ? AND seq = ?

-- name: ack
UPDATE task SET unacked = 0, updated_at = :now WHERE id = :id AND reply_to = :reply_to
  AND unacked = 1 AND (:tenant = '*'
    OR EXISTS (SELECT 1 FROM queue q WHERE q.id = task.queue AND q.tenant = :tenant))

-- name: insert_attempt
INSERT INTO attempt (seq, number, worker, started_at, ended_at, outcome, error)
VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: last_number
SELECT coalesce(max(number), 0) FROM attempt WHERE seq = ?

-- name: forget_attempts
DELETE FROM attempt WHERE seq = ? AND number <= ?

-- name: attempts_of
SELECT number, worker, started_at, ended_at, outcome, error FROM attempt WHERE seq = ?
ORDER BY number

-- name: next_due
SELECT min(due_at) FROM task WHERE state = 1

-- name: next_lease
SELECT min(lease_tick) FROM task WHERE state = 2

-- name: next_retention
SELECT min(ended_at) FROM task WHERE state BETWEEN 3 AND 6 AND unacked = 0

-- name: recompute_leases
UPDATE task SET lease_tick = :tick + min(max(lease_until - :now, 0), lease_seconds)
WHERE state = 2

-- name: all_queues
SELECT id, tenant, command FROM queue

-- name: next_ready
SELECT min(queue) FROM task WHERE state = 0 AND queue > ?

-- name: any_ready
SELECT 1 FROM task WHERE state = 0 AND queue = ? LIMIT 1

-- name: count_ready_up_to
SELECT count(*) FROM (SELECT 1 FROM task WHERE state = 0 AND queue = ? LIMIT ?)

-- name: count_leased_of
SELECT count(*) FROM task INDEXED BY task_leased WHERE state = 2 AND queue = ?

-- name: leased_of_key
SELECT count(*) FROM task WHERE key = ? AND queue = ? AND state = 2 AND key <> ''

-- name: set_aside
UPDATE task INDEXED BY task_key SET state = 7
WHERE key = ? AND queue = ? AND state = 0 AND key <> ''

-- name: any_aside
SELECT 1 FROM task WHERE state = 7 AND queue = ? AND key = ? LIMIT 1

-- name: bring_back
UPDATE task SET state = 0 WHERE seq = (
  SELECT seq FROM task WHERE state = 7 AND queue = ? AND key = ?
  ORDER BY priority DESC, due_at, seq LIMIT 1)
RETURNING -priority, due_at, seq

-- name: bring_all_back
UPDATE task SET state = 0 WHERE state = 7 AND queue = ?

-- name: next_aside
SELECT queue, key FROM task INDEXED BY task_aside WHERE state = 7 AND (queue, key) > (?, ?)
ORDER BY queue, key LIMIT 1

-- name: all_policies
SELECT body FROM policy ORDER BY tenant, command

-- name: set_policy
INSERT INTO policy (tenant, command, body) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET body = excluded.body

-- name: delete_policy
DELETE FROM policy WHERE tenant = ? AND command = ?

-- name: all_periodics
SELECT body FROM periodic ORDER BY tenant, name

-- name: periodic
SELECT body FROM periodic WHERE tenant = ? AND name = ?

-- name: set_periodic
INSERT INTO periodic (tenant, name, body) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET body = excluded.body

-- name: delete_periodic
DELETE FROM periodic WHERE tenant = ? AND name = ?

-- name: all_subscriptions
SELECT body FROM subscription ORDER BY tenant, id

-- name: subscriptions_of
SELECT body FROM subscription WHERE tenant IN (?, '*') ORDER BY tenant, id

-- name: set_subscription
INSERT INTO subscription (tenant, id, body) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET body = excluded.body

-- name: delete_subscription
DELETE FROM subscription WHERE tenant = ? AND id = ?

-- name: insert_delivery
INSERT INTO delivery (seq, url, due_at) VALUES (?, ?, ?)

-- name: due_deliveries
SELECT {delivery} FROM delivery d CROSS JOIN task t USING (seq)
WHERE d.given_up = 0 AND d.due_at <= ? ORDER BY d.due_at LIMIT ?

-- name: put_off_delivery
UPDATE delivery SET due_at = ? WHERE number = ?

-- name: delivery
SELECT {delivery} FROM delivery d CROSS JOIN task t USING (seq) WHERE d.number = ?

-- name: settle_delivery
UPDATE delivery SET due_at = ?, attempts = ?, error = ?, given_up = ? WHERE number = ?

-- name: delete_delivery
DELETE FROM delivery WHERE number = ?

-- name: deliveries
SELECT {delivery} FROM delivery d
CROSS JOIN task t USING (seq) CROSS JOIN queue q ON q.id = t.queue
WHERE d.given_up = :given_up AND (:tenant = '*' OR q.tenant = :tenant)
ORDER BY d.due_at, d.number LIMIT :limit

-- name: next_delivery
SELECT min(due_at) FROM delivery WHERE given_up = 0

-- name: count_ready
SELECT queue, count(*), min(due_at) FROM task WHERE state = 0 GROUP BY queue

-- name: count_aside
SELECT queue, count(*), min(due_at) FROM task INDEXED BY task_aside WHERE state = 7 GROUP BY queue

-- name: count_delayed
SELECT queue, count(*), 0.0 FROM task INDEXED BY task_due WHERE state = 1 GROUP BY queue

-- name: count_leased
SELECT queue, count(*), 0.0 FROM task INDEXED BY task_leased WHERE state = 2 GROUP BY queue

-- name: count_dead
SELECT * FROM (
  SELECT q.id, (SELECT count(*) FROM task t INDEXED BY task_over WHERE t.queue = q.id
    AND t.state = 5 AND t.state BETWEEN 3 AND 6) AS dead, 0.0
  FROM queue q)
WHERE dead > 0

-- name: audit_no_payload
SELECT t.seq, t.id FROM task t LEFT JOIN payload p USING (seq)
WHERE t.payload IS NULL AND p.seq IS NULL AND {of_command}

-- name: audit_orphan_payload
SELECT p.seq, '' FROM payload p LEFT JOIN task t USING (seq) WHERE t.seq IS NULL

-- name: audit_orphan_result
SELECT r.seq, '' FROM result r LEFT JOIN task t USING (seq) WHERE t.seq IS NULL

-- name: audit_orphan_attempt
SELECT DISTINCT a.seq, '' FROM attempt a LEFT JOIN task t USING (seq)
WHERE t.seq IS NULL

-- name: audit_orphan_delivery
SELECT DISTINCT d.seq, '' FROM delivery d LEFT JOIN task t USING (seq)
WHERE t.seq IS NULL

-- name: audit_orphan_tag
SELECT DISTINCT g.seq, '' FROM tag g LEFT JOIN task t USING (seq)
WHERE t.seq IS NULL

-- name: audit_ended_state
SELECT t.seq, t.id FROM task t WHERE (t.ended_at > 0) <> (t.state BETWEEN 3 AND 6) AND {of_command}

-- name: audit_leaseless
SELECT t.seq, t.id FROM task t WHERE t.state = 2 AND (t.worker = '' OR t.lease_tick = 0)
  AND {of_command}

-- name: audit_aside
SELECT t.seq, t.id FROM task t WHERE t.state = 7 AND t.key = '' AND {of_command}

-- name: repair_tags
DELETE FROM tag WHERE seq = ?

-- name: repair_ended
UPDATE task SET ended_at = iif(state BETWEEN 3 AND 6, :now, 0) WHERE seq = :seq

-- name: back_to_ready
UPDATE task SET state = 0 WHERE seq = ?

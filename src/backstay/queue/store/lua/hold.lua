-- What a worker does with its lease, and what people do with a task.
function run.extend(o)
  local r, missing = find(o[4], o[5])
  if not r then
    return missing
  end
  local why = held(r, o[6], o[7])
  if why then
    return why
  end
  r[LEASE_UNTIL] = now + o[8]
  if o[9] ~= "" then
    r[PROGRESS] = o[9]
  end
  call("ZADD", KEY_LEASES, lease_now + o[8], r[ID])
  soon_on_leases(lease_now + o[8])
  save(r)
  return one(r)
end

-- A result that is sent again because its answer was lost is answered as the first time.
local function same_result(r, o, state)
  return (o[7] ~= "" and o[7] == r[LEASE_TOKEN] or was_done(r))
    and o[6] == r[WORKER]
    and r[STATE] == state
    and r[ERROR] == o[10]
    and (call("HGET", KEY_RESULTS, r[ID]) or "") == o[9]
end

function run.finish(o)
  local r, missing = find(o[4], o[5])
  if not r then
    return missing
  end
  local state = o[8] and "completed" or "failed"
  if r[STATE] == state and same_result(r, o, state) then
    return one(r)
  end
  local why = held(r, o[6], o[7])
  if why then
    return why
  end
  if o[9] ~= "" then
    call("HSET", KEY_RESULTS, r[ID], o[9])
  end
  finish(r, state, o[10])
  return one(r)
end

function run.nack(o)
  local r, missing = find(o[4], o[5])
  if not r then
    return missing
  end
  if was_done(r) then
    return one(r)
  end
  local why = held(r, o[6], o[7])
  if why then
    return why
  end
  local reason, delay = o[8], o[9]
  if r[ATTEMPTS] >= r[MAX_ATTEMPTS] then
    finish(r, "dead", reason ~= "" and reason or "MAX_ATTEMPTS")
  else
    delay = delay >= 0 and delay or backoff(r[ATTEMPTS])
    put_off(r, "nacked", delay, r[ATTEMPTS], reason, reason)
  end
  return one(r)
end

function run.abandon(o)
  local r, missing = find(o[4], o[5])
  if not r then
    return missing
  end
  if was_done(r) then
    return one(r)
  end
  local why = held(r, o[6], o[7])
  if why then
    return why
  end
  put_off(r, "abandoned", ABANDON_DELAY, math.max(0, r[ATTEMPTS] - 1), r[ERROR], "")
  return one(r)
end

function run.cancel(o)
  local r, missing = find(o[4], o[5])
  if not r then
    return missing
  end
  if r[STATE] == "cancelled" then
    return one(r)
  end
  if r[ENDED_AT] > 0 then
    return refused("state", r[STATE])
  end
  finish(r, "cancelled", o[6])
  return one(r)
end

local OUTCOME = { completed = "completed", failed = "failed", cancelled = "cancelled" }

local function last_outcome(r)
  if r[STATE] == "dead" then
    return r[ERROR] == "LEASE_EXPIRED" and "expired" or "nacked"
  end
  return OUTCOME[r[STATE]]
end

local REDRIVEN = { dead = true, failed = true, cancelled = true }

function run.redrive(o)
  local r, missing = find(o[4], o[5])
  if not r then
    return missing
  end
  if was_done(r) then
    return one(r)
  end
  if not REDRIVEN[r[STATE]] then
    return refused("state", r[STATE])
  end
  if r[WORKER] ~= "" then
    remember(r, last_outcome(r), r[ERROR], r[ENDED_AT])
  end
  leave_ended(r)
  call("HDEL", KEY_RESULTS, r[ID])
  r[ATTEMPTS], r[WORKER], r[LEASE_TOKEN], r[ERROR], r[ENDED_AT] = 0, "", "", "", 0
  r[CLAIMED_AT], r[PROGRESS] = 0, ""
  enter_waiting(r, o[6])
  save(r)
  return one(r)
end

function run.reschedule(o)
  local r, missing = find(o[4], o[5])
  if not r then
    return missing
  end
  if was_done(r) then
    return one(r)
  end
  if r[STATE] ~= "ready" and r[STATE] ~= "delayed" then
    return refused("state", r[STATE])
  end
  leave(r)
  enter_waiting(r, o[6])
  save(r)
  return one(r)
end

function run.ack(o)
  local tenant, reply_to, acked = o[4], o[5], 0
  for _, id in ipairs(o[6]) do
    local r = load(id)
    local mine = r and r[REPLY_TO] == reply_to and (tenant == "*" or tenant == r[TENANT])
    if mine and r[UNACKED] == 1 then
      call("ZREM", KEY_REPLIES, reply_member(r))
      call("ZADD", KEY_ENDED, r[ENDED_AT], id)
      r[UNACKED] = 0
      save(r)
      soon(r[ENDED_AT] + RETENTION)
      acked = acked + 1
    end
  end
  return { COUNT, acked }
end

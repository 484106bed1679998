-- What a worker does with its lease, and what people do with a task. Each operation on the one task
-- it names is made of these: `act` changes the task, or gives the answer when it must not.
local function on_task(act)
  return function(o)
    local r, missing = find(o[4], o[5])
    return missing or act(r, o) or one(r)
  end
end

-- What a call did whose answer was lost is not done again, only answered.
local function once(act)
  return function(r, o)
    return was_done(r) and one(r) or act(r, o)
  end
end

-- By the worker that holds the task.
local function holding(act)
  return function(r, o)
    return held(r, o[6], o[7]) or act(r, o)
  end
end

run.extend = on_task(holding(function(r, o)
  r[LEASE_UNTIL] = now + o[8]
  if o[9] ~= "" then
    r[PROGRESS] = o[9]
  end
  call("ZADD", KEY_LEASES, lease_now + o[8], r[ID])
  soon_on_leases(lease_now + o[8])
  save(r)
end))

-- A result that is sent again because its answer was lost is answered as the first time.
local function same_result(r, o)
  return (o[7] ~= "" and o[7] == r[LEASE_TOKEN] or was_done(r))
    and o[6] == r[WORKER]
    and r[STATE] == (o[8] and "completed" or "failed")
    and r[ERROR] == o[10]
    and (call("HGET", KEY_RESULTS, r[ID]) or "") == o[9]
end

local end_with_result = holding(function(r, o)
  if o[9] ~= "" then
    call("HSET", KEY_RESULTS, r[ID], o[9])
  end
  finish(r, o[8] and "completed" or "failed", o[10])
end)

run.finish = on_task(function(r, o)
  if not same_result(r, o) then
    return end_with_result(r, o)
  end
end)

run.nack = on_task(once(holding(function(r, o)
  local reason, delay = o[8], o[9]
  if r[ATTEMPTS] >= r[MAX_ATTEMPTS] then
    finish(r, "dead", reason ~= "" and reason or "MAX_ATTEMPTS")
  else
    delay = delay >= 0 and delay or backoff(r[ATTEMPTS])
    put_off(r, "nacked", delay, r[ATTEMPTS], reason, reason)
  end
end)))

run.abandon = on_task(once(holding(function(r)
  put_off(r, "abandoned", ABANDON_DELAY, math.max(0, r[ATTEMPTS] - 1), r[ERROR], "")
end)))

run.cancel = on_task(function(r, o)
  if r[STATE] ~= "cancelled" then
    if r[ENDED_AT] > 0 then
      return refused("state", r[STATE])
    end
    finish(r, "cancelled", o[6])
  end
end)

local OUTCOME = { completed = "completed", failed = "failed", cancelled = "cancelled" }

local function last_outcome(r)
  if r[STATE] == "dead" then
    return r[ERROR] == "LEASE_EXPIRED" and "expired" or "nacked"
  end
  return OUTCOME[r[STATE]]
end

local REDRIVEN = { dead = true, failed = true, cancelled = true }

run.redrive = on_task(once(function(r, o)
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
end))

run.reschedule = on_task(once(function(r, o)
  if r[STATE] ~= "ready" and r[STATE] ~= "delayed" then
    return refused("state", r[STATE])
  end
  leave(r)
  enter_waiting(r, o[6])
  save(r)
end))

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

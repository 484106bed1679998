-- Where a task stands: how it comes to wait, how it leaves the place it is in, and how a bound that
-- is lifted lets others go on.
local turned = {}

-- So many became ready; told are those that the queue's bounds let through.
local function has_work(tenant, many)
  local p = policy_of(tenant)
  many = p and admitted(tenant, p, many) or many
  if many > 0 then
    ready[tenant] = (ready[tenant] or 0) + many
    ready_any = true
  end
end

local function take_turn(tenant)
  if not turned[tenant] then
    turned[tenant] = true
    -- A newcomer waits for its turn.
    call("ZADD", KEY_TURNS, "NX", next_seq(0), tenant)
  end
end

local function enter_ready(r)
  local p = policy_of(r[TENANT])
  r[STATE] = "ready"
  count(r[TENANT], "ready", 1)
  if p and r[KEY] ~= "" and stopped_by_key(r, p) then
    call("ZADD", KEY_PARKED, 0, parked_member(r))
    return
  end
  call("ZADD", KEY_READY, 0, member(r))
  take_turn(r[TENANT])
  has_work(r[TENANT], 1)
end

local function enter_delayed(r)
  r[STATE] = "delayed"
  call("ZADD", KEY_DELAYED, r[DUE_AT], r[ID])
  count(r[TENANT], "delayed", 1)
  soon(r[DUE_AT])
end

-- Ready or delayed, by its due time.
local function enter_waiting(r, due)
  if due > now then
    r[DUE_AT] = due
    enter_delayed(r)
  else
    r[DUE_AT] = now
    enter_ready(r)
  end
end

-- Tasks of this key that were put aside come back, in their order.
local function unpark(tenant, key, many)
  local found = beginning(KEY_PARKED, tenant .. SEP .. key, many)
  for _, place in ipairs(found) do
    call("ZREM", KEY_PARKED, place)
    call("ZADD", KEY_READY, 0, tenant .. SEP .. string.match(place, "^.*%z(.*)$"))
  end
  if #found > 0 then
    take_turn(tenant)
    has_work(tenant, #found)
  end
  return #found
end

-- All tasks of a tenant that were put aside, `many` at a time; the rest with the next Move.
local function unpark_all(tenant, many)
  local found = beginning(KEY_PARKED, tenant, many)
  for _, place in ipairs(found) do
    call("ZREM", KEY_PARKED, place)
    call("ZADD", KEY_READY, 0, tenant .. SEP .. string.match(place, "^.*%z(.*)$"))
  end
  if #found > 0 then
    take_turn(tenant)
    has_work(tenant, #found)
  end
  if #found == many then
    lift_at("p" .. SEP .. tenant, lease_now)
  end
  return #found
end

-- The same for every tenant behind `after` ("": all of them), `many` tasks at a time in all.
local function unpark_every(after, many)
  local done = 0
  while done < many do
    local from = after == "" and "-" or "(" .. after .. "\1"
    local place = call("ZRANGEBYLEX", KEY_PARKED, from, "+", "LIMIT", 0, 1)[1]
    if not place then
      return done
    end
    after = string.match(place, "^(.-)%z")
    done = done + unpark_all(after, many - done)
  end
  lift_at("a" .. SEP .. after, lease_now)
  return done
end

-- One of this key was served: the next that was put aside comes as soon as it may. Its place among
-- the tenant's, if it came.
local function next_of_key(r, p)
  local found = beginning(KEY_PARKED, r[TENANT] .. SEP .. r[KEY], 1)[1]
  if found and not stopped_by_key(r, p) then
    unpark(r[TENANT], r[KEY], 1)
    return string.match(found, "^.*%z(.*)$")
  end
  return nil
end

-- A lease has ended: whoever it held up may go on.
local function free(r)
  local tenant, key = r[TENANT], r[KEY]
  if key ~= "" then
    local field = tenant .. SEP .. key
    if call("HINCRBY", KEY_HELD, field, -1) <= 0 then
      call("HDEL", KEY_HELD, field)
    end
    unpark(tenant, key, 1)
  end
  local p = policy_of(tenant)
  if p and p[P_CONCURRENCY] > 0 and #beginning(KEY_READY, tenant, 1) > 0 then
    has_work(tenant, 1)
  end
end

local function leave(r)
  local state = r[STATE]
  count(r[TENANT], state, -1)
  if state == "leased" then
    call("ZREM", KEY_LEASES, r[ID])
    r[LEASE_UNTIL] = 0
    free(r)
  elseif state == "delayed" then
    call("ZREM", KEY_DELAYED, r[ID])
  elseif call("ZREM", KEY_READY, member(r)) == 0 then
    call("ZREM", KEY_PARKED, parked_member(r))
  elseif r[KEY] ~= "" then
    -- It was the one let through: the next of its key follows.
    unpark(r[TENANT], r[KEY], 1)
  end
end

local function leave_ended(r)
  if r[STATE] == "dead" then
    count(r[TENANT], "dead", -1)
    call("ZREM", KEY_DEAD, r[ID])
  end
  call("ZREM", KEY_ENDED, r[ID])
  if r[UNACKED] == 1 then
    call("ZREM", KEY_REPLIES, reply_member(r))
    r[UNACKED] = 0
  end
end

-- The delivery that is over, kept apart from the row because it did not end the task.
local function remember(r, outcome, error, at)
  local raw = call("HGET", KEY_HISTORY, r[ID])
  local past = raw and decode(raw) or {}
  local number = (past[#past] and past[#past][1] or 0) + 1
  past[#past + 1] = { number, r[WORKER], r[CLAIMED_AT], at, outcome, error }
  if #past > 100 then
    table.remove(past, 1)
  end
  call("HSET", KEY_HISTORY, r[ID], encode(past))
end

-- It waits again: `delay` seconds first, or (nil) for a worker at once.
local function put_off(r, outcome, delay, attempts, error, reason)
  remember(r, outcome, reason, now)
  leave(r)
  r[ATTEMPTS], r[ERROR], r[WORKER], r[LEASE_TOKEN] = attempts, error, "", ""
  r[DUE_AT] = now + (delay or 0)
  if delay then
    enter_delayed(r)
  else
    enter_ready(r)
  end
  save(r)
end

local function finish(r, state, error)
  leave(r)
  r[STATE], r[ERROR], r[ENDED_AT] = state, error, now
  if state == "dead" then
    count(r[TENANT], "dead", 1)
    call("ZADD", KEY_DEAD, r[SEQ], r[ID])
  end
  if r[REPLY_TO] ~= "" then
    r[UNACKED] = 1
    call("ZADD", KEY_REPLIES, 0, reply_member(r))
    replies[r[REPLY_TO]] = true
  else
    call("ZADD", KEY_ENDED, now, r[ID])
  end
  if r[WEBHOOK] ~= "" then
    r[CALLS] = r[CALLS] + 1
    local id = r[ID] .. "-" .. r[CALLS]
    call("HSET", KEY_CALLBACKS, id, encode({ id, r[TENANT], r[ID], r[WEBHOOK], now, 0, "", false }))
    call("ZADD", KEY_CALLBACKS_DUE, now, id)
    deliveries = deliveries + 1
  end
  ended[#ended + 1] = r[ID]
  soon(now + RETENTION)
  save(r)
end

local function forget_callback(id)
  call("HDEL", KEY_CALLBACKS, id)
  call("ZREM", KEY_CALLBACKS_DUE, id)
  call("ZREM", KEY_CALLBACKS_LOST, id)
end

local function forget(r)
  local id = r[ID]
  for number = 1, r[CALLS] do
    forget_callback(id .. "-" .. number)
  end
  leave_ended(r)
  call("HDEL", KEY_TASKS, id)
  call("HDEL", KEY_PAYLOADS, id)
  call("HDEL", KEY_RESULTS, id)
  call("HDEL", KEY_HISTORY, id)
  call("ZREM", KEY_ORDER, id)
  if r[IDEMPOTENCY_KEY] ~= "" then
    local field = r[TENANT] .. SEP .. r[IDEMPOTENCY_KEY]
    local known = call("HGET", KEY_ONCE, field)
    if known and string.sub(known, 1, #id + 1) == id .. SEP then
      call("HDEL", KEY_ONCE, field)
    end
  end
end

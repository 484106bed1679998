-- Contradictions between the keys of one command, one bounded stretch at a time; `repair` mends
-- what it names. A task's record is the truth; places, counts and bodies follow it.
local STRETCH = 500
local rows = {}

local function tell(kind, id, says, repaired)
  rows[#rows + 1] = { kind, id, says, repaired }
end

local PLACE = { delayed = KEY_DELAYED, leased = KEY_LEASES, dead = KEY_DEAD }

local function is_placed(r)
  local state, id = r[STATE], r[ID]
  if state == "ready" then
    return call("ZSCORE", KEY_READY, member(r)) or (r[KEY] ~= "" and call("ZSCORE", KEY_PARKED, parked_member(r)))
  elseif state == "dead" and not call("ZSCORE", KEY_DEAD, id) then
    return false
  elseif PLACE[state] and state ~= "dead" then
    return call("ZSCORE", PLACE[state], id)
  elseif r[UNACKED] == 1 then
    return call("ZSCORE", KEY_REPLIES, reply_member(r))
  end
  return call("ZSCORE", KEY_ENDED, id)
end

local function put_in_place(r)
  local state, id = r[STATE], r[ID]
  if state == "ready" then
    call("ZADD", KEY_READY, 0, member(r))
    take_turn(r[TENANT])
    has_work(r[TENANT], 1)
  elseif state == "delayed" then
    call("ZADD", KEY_DELAYED, r[DUE_AT], id)
    soon(r[DUE_AT])
  elseif state == "leased" then
    -- Its holder, if it lives, has the time of a heartbeat left; then the lease ends.
    local ends = lease_now + math.max(0, math.min(60, r[LEASE_UNTIL] - now))
    call("ZADD", KEY_LEASES, ends, id)
    soon_on_leases(ends)
  else
    if state == "dead" then
      call("ZADD", KEY_DEAD, r[SEQ], id)
    end
    if r[UNACKED] == 1 then
      call("ZADD", KEY_REPLIES, 0, reply_member(r))
    else
      call("ZADD", KEY_ENDED, r[ENDED_AT], id)
    end
  end
end

local function check_task(r, repair)
  local id = r[ID]
  if call("HEXISTS", KEY_PAYLOADS, id) == 0 then
    tell("no_payload", id, "the task has no payload", repair)
    if repair then
      if r[ENDED_AT] == 0 then
        leave(r)
      end
      forget(r)
      return
    end
  end
  if not is_placed(r) then
    tell("no_place", id, "the task is " .. r[STATE] .. " but stands in no queue", repair)
    if repair then
      put_in_place(r)
    end
  end
  if not call("ZSCORE", KEY_ORDER, id) then
    tell("no_order", id, "the task is not in the order of arrival", repair)
    if repair then
      call("ZADD", KEY_ORDER, r[SEQ], id)
    end
  end
end

local audits = {}

-- `from` is a cursor of HSCAN.
function audits.tasks(from, repair)
  local found = call("HSCAN", KEY_TASKS, from, "COUNT", STRETCH)
  for at = 2, #found[2], 2 do
    check_task(decode(found[2][at]), repair)
  end
  return found[1]
end

local function scan_hash(key, kind, says, id_of)
  return function(from, repair)
    local found = call("HSCAN", key, from, "COUNT", STRETCH)
    for at = 1, #found[2], 2 do
      local id = id_of(found[2][at], found[2][at + 1])
      if call("HEXISTS", KEY_TASKS, id) == 0 then
        tell(kind, id, says, repair)
        if repair then
          call("HDEL", key, found[2][at])
        end
      end
    end
    return found[1]
  end
end

local function field(name)
  return name
end

audits.payloads = scan_hash(KEY_PAYLOADS, "orphan_payload", "a payload without a task", field)
audits.results = scan_hash(KEY_RESULTS, "orphan_result", "a result without a task", field)
audits.history = scan_hash(KEY_HISTORY, "orphan_history", "a history without a task", field)
audits.once = scan_hash(KEY_ONCE, "orphan_once", "an idempotency entry without a task", function(_, value)
  return string.match(value, "^(.-)%z") or ""
end)

local function places(key, kind, id_of, belongs)
  return function(from, repair)
    from = tonumber(from)
    local found = call("ZRANGE", key, from, from + STRETCH - 1)
    local gone = 0
    for _, place in ipairs(found) do
      local id = id_of(place)
      local r = load(id)
      if not r or not belongs(r, place) then
        tell(kind, id, r and "an entry of a task that is " .. r[STATE] or "an entry without a task", repair)
        if repair then
          call("ZREM", key, place)
          gone = gone + 1
        end
      end
    end
    return #found < STRETCH and "0" or from + STRETCH - gone
  end
end

local function in_state(state)
  return function(r)
    return r[STATE] == state
  end
end

local function tail_of(skipped)
  return function(place)
    return string.sub(string.match(place, "^.*%z(.*)$") or "", skipped + 1)
  end
end

audits.order = places(KEY_ORDER, "orphan_order", field, function() return true end)
audits.ready = places(KEY_READY, "orphan_ready", tail_of(REST), function(r, place)
  return r[STATE] == "ready" and member(r) == place
end)
audits.parked = places(KEY_PARKED, "orphan_parked", tail_of(REST), function(r, place)
  return r[STATE] == "ready" and parked_member(r) == place
end)
audits.delayed = places(KEY_DELAYED, "orphan_delayed", field, in_state("delayed"))
audits.leases = places(KEY_LEASES, "orphan_lease", field, in_state("leased"))
audits.dead = places(KEY_DEAD, "orphan_dead", field, in_state("dead"))
audits.ended = places(KEY_ENDED, "orphan_ended", field, function(r)
  return r[ENDED_AT] > 0 and r[UNACKED] == 0
end)
audits.replies = places(KEY_REPLIES, "orphan_reply", tail_of(32), function(r, place)
  return r[UNACKED] == 1 and reply_member(r) == place
end)

-- --- counts ------------------------------------------------------------------------------------

local function add(into, name, many)
  into[name] = (into[name] or 0) + many
end

local function count_tenants(key, into)
  local from = "-"
  while true do
    local place = call("ZRANGEBYLEX", key, from, "+", "LIMIT", 0, 1)[1]
    if not place then
      return
    end
    local tenant = string.match(place, "^(.-)%z")
    add(into, tenant .. SEP .. "ready", call("ZLEXCOUNT", key, "[" .. tenant .. SEP, "(" .. tenant .. "\1"))
    from = "(" .. tenant .. "\1"
  end
end

local function count_records(key, state, into, held)
  for from = 0, call("ZCARD", key) - 1, STRETCH do
    local ids = call("ZRANGE", key, from, from + STRETCH - 1)
    for _, raw in ipairs(call("HMGET", KEY_TASKS, unpack(ids))) do
      local r = raw and decode(raw)
      if r then
        add(into, r[TENANT] .. SEP .. state, 1)
        if held and r[KEY] ~= "" then
          add(held, r[TENANT] .. SEP .. r[KEY], 1)
        end
      end
    end
  end
end

local function compare(key, kind, truth, repair)
  local kept = call("HGETALL", key)
  for at = 1, #kept, 2 do
    local name = kept[at]
    local right = truth[name] or 0
    if tonumber(kept[at + 1]) ~= right then
      local shown = string.gsub(name, "%z", "/")
      tell(kind, shown, "counted " .. kept[at + 1] .. " where there are " .. right, repair)
      if repair and right == 0 then
        call("HDEL", key, name)
      elseif repair then
        call("HSET", key, name, right)
      end
    end
    truth[name] = nil
  end
  for name, right in pairs(truth) do
    local shown = string.gsub(name, "%z", "/")
    tell(kind, shown, "counted 0 where there are " .. right, repair)
    if repair then
      call("HSET", key, name, right)
    end
  end
end

-- All in one step, because a count that is taken in several is not one: 2 µs a task.
function audits.counts(_, repair)
  local counts, held = {}, {}
  count_tenants(KEY_READY, counts)
  for name in pairs(counts) do
    local tenant = string.match(name, "^(.*)%z")
    if not call("ZSCORE", KEY_TURNS, tenant) then
      tell("no_turn", tenant, "a tenant with work has no turn", repair)
      if repair then
        take_turn(tenant)
        has_work(tenant, 1)
      end
    end
  end
  count_tenants(KEY_PARKED, counts)
  count_records(KEY_DELAYED, "delayed", counts)
  count_records(KEY_LEASES, "leased", counts, held)
  count_records(KEY_DEAD, "dead", counts)
  compare(KEY_COUNTS, "wrong_count", counts, repair)
  compare(KEY_HELD, "wrong_held", held, repair)
  return 0
end

function run.audit(o)
  local next_from = audits[o[4]](o[5], o[6])
  counted = {} -- the last part of an audit counts anew
  blobs[#blobs + 1] = encode({ tostring(next_from), rows })
  rows = {}
  return { OTHERS, 1 }
end

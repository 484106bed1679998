-- What time does, and what people clear away: bounded steps, however much has to be done.
local function each_due(key, before, limit)
  return call("ZRANGEBYSCORE", key, "-inf", before, "LIMIT", 0, limit)
end

local function move_due(limit)
  local ids = each_due(KEY_DELAYED, now, limit)
  for _, id in ipairs(ids) do
    local r = load(id)
    if r and r[STATE] == "delayed" then
      leave(r)
      enter_ready(r)
      save(r)
    else
      call("ZREM", KEY_DELAYED, id)
    end
  end
  return #ids
end

-- As model.expiry_delay.
local function expiry_delay(r)
  return r[ATTEMPTS] > 1 and backoff(r[ATTEMPTS]) or nil
end

local function end_leases(limit)
  local ids = each_due(KEY_LEASES, lease_now, limit)
  for _, id in ipairs(ids) do
    local r = load(id)
    if r and r[STATE] == "leased" then
      local worker = r[WORKER]
      if r[ATTEMPTS] >= r[MAX_ATTEMPTS] then
        finish(r, "dead", "LEASE_EXPIRED")
      else
        put_off(r, "expired", expiry_delay(r), r[ATTEMPTS], "LEASE_EXPIRED", "LEASE_EXPIRED")
      end
      expired[#expired + 1] = { id, worker, r[ATTEMPTS], r[STATE] }
    else
      call("ZREM", KEY_LEASES, id)
    end
  end
  return #ids
end

local function lift_bounds(limit)
  local found = each_due(KEY_LIFTS, lease_now, limit)
  for _, what in ipairs(found) do
    call("ZREM", KEY_LIFTS, what)
    local kind, name = string.sub(what, 1, 1), string.sub(what, 3)
    if kind == "q" then
      local waiting = call("ZLEXCOUNT", KEY_READY, "[" .. name .. SEP, "(" .. name .. "\1")
      has_work(name, waiting)
    elseif kind == "p" then
      unpark_all(name, limit)
    elseif kind == "a" then
      unpark_every(name, limit)
    else
      local cut = string.find(name, SEP, 1, true)
      local tenant = string.sub(name, 1, cut - 1)
      local p, many = policy_of(tenant), 1
      if p and p[P_KEY_RATE] > 0 then
        many = tokens(name, p[P_KEY_RATE], p[P_BURST], 1000)
      end
      unpark(tenant, string.sub(name, cut + 1), math.max(1, many))
    end
  end
  -- A bucket that is full again is the same as none.
  local full = each_due(KEY_RATES, lease_now, limit)
  if #full > 0 then
    call("ZREM", KEY_RATES, unpack(full))
  end
  return #found
end

function run.move(o)
  local limit = o[4]
  local moved = move_due(limit) + end_leases(limit) + lift_bounds(limit)
  local old = each_due(KEY_ENDED, now - RETENTION, limit)
  for _, id in ipairs(old) do
    local r = load(id)
    if r then
      forget(r)
    else
      call("ZREM", KEY_ENDED, id)
    end
  end
  return { COUNT, moved + #old }
end

-- One stretch of the ended tasks, from place `skip` on: how many went, and where to go on (-1: all
-- were looked at).
function run.purge(o)
  local tenant, before, limit, states, skip = o[4], o[5], o[6], o[7], o[8]
  local wanted = {}
  for _, state in ipairs(states) do
    wanted[state] = true
  end
  local ids = call("ZRANGEBYSCORE", KEY_ENDED, "-inf", "(" .. string.format("%.17g", before), "LIMIT", skip, 1000)
  local gone, kept = 0, 0
  for _, id in ipairs(ids) do
    if gone == limit then
      break
    end
    local r = load(id)
    if not r then
      call("ZREM", KEY_ENDED, id)
    elseif (tenant == "*" or tenant == r[TENANT]) and (#states == 0 or wanted[r[STATE]]) then
      forget(r)
      gone = gone + 1
    else
      kept = kept + 1
    end
  end
  return { COUNT, gone, (#ids == 1000 and gone < limit) and skip + kept or -1 }
end

-- What a policy lets through now, and when it lets more through.
-- A rate is one number: the time at which the bucket is full again. One that a lower rate of a former
-- policy would fill much later is as an empty one.
local function full_at(name, rate, burst)
  local full = tonumber(call("ZSCORE", KEY_RATES, name) or 0)
  local empty = lease_now + math.max(1, burst) / rate
  if full > empty then
    call("ZADD", KEY_RATES, empty, name)
    full = empty
  end
  return math.max(full, lease_now)
end

-- How many may pass now, and when the next one may.
local function tokens(name, rate, burst, wanted)
  local step = 1 / rate
  local full = full_at(name, rate, burst)
  local room = math.floor((lease_now - full) / step + math.max(1, burst) + 1e-6)
  if room >= 1 then
    return math.min(room, wanted), 0
  end
  return 0, full - (math.max(1, burst) - 1) * step
end

-- A claim takes from the bucket.
local function spend(name, rate, many)
  local full = math.max(tonumber(call("ZSCORE", KEY_RATES, name) or 0), lease_now)
  call("ZADD", KEY_RATES, full + many / rate, name)
end

-- Somebody waits for this bound: at that time it is looked at again.
local function lift_at(what, at)
  call("ZADD", KEY_LIFTS, at, what)
  soon_on_leases(at)
end

-- How many of `wanted` claims the queue's bounds let through now.
local function admitted(tenant, p, wanted)
  if p[P_PAUSED] then
    return 0
  end
  if p[P_CONCURRENCY] > 0 then
    wanted = math.max(0, math.min(wanted, p[P_CONCURRENCY] - depth(tenant, "leased")))
  end
  if p[P_RATE] > 0 and wanted > 0 then
    local room, at = tokens(tenant .. SEP, p[P_RATE], p[P_BURST], wanted)
    if room == 0 and #beginning(KEY_READY, tenant, 1) > 0 then
      lift_at("q" .. SEP .. tenant, at)
    end
    wanted = room
  end
  return wanted
end

-- Whether this task's key is at a bound; then it is put aside, so that it is met once and not by
-- every claim.
local function stopped_by_key(r, p)
  local name = r[TENANT] .. SEP .. r[KEY]
  if p[P_KEY_CONCURRENCY] > 0 then
    if tonumber(call("HGET", KEY_HELD, name) or 0) >= p[P_KEY_CONCURRENCY] then
      return true
    end
  end
  if p[P_KEY_RATE] > 0 then
    local room, at = tokens(name, p[P_KEY_RATE], p[P_BURST], 1)
    if room == 0 then
      lift_at("k" .. SEP .. name, at)
      return true
    end
  end
  return false
end

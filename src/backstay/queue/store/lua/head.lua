-- What every script of the redis engine begins with. KEYS are those of one command, all in one
-- slot; before this file stand their names and the places of a record's fields, written by
-- lua/__init__.py. Nothing here is undeclared, and only commands are used that KVRocks has too.
local call = redis.call
local encode, decode = cmsgpack.pack, cmsgpack.unpack
local SEP = "\0"
local HUGE = 1e300

-- Fixed width, so that the order of bytes is the order of numbers.
local function digits(number)
  return string.format("%016.0f", number)
end

-- A waiting task's place inside its tenant: priority, due time, arrival, and who it is.
local function rest(r)
  local rank = string.format("%02.0f", 49 - math.max(-50, math.min(49, r[PRIORITY])))
  return rank .. digits(math.floor(r[DUE_AT] * 1e6)) .. digits(r[SEQ]) .. r[ID]
end
local REST = 2 + 16 + 16

local function member(r)
  return r[TENANT] .. SEP .. rest(r)
end

local function parked_member(r)
  return r[TENANT] .. SEP .. r[KEY] .. SEP .. rest(r)
end

local function reply_member(r)
  return r[REPLY_TO] .. SEP .. digits(math.floor(r[ENDED_AT] * 1e6)) .. digits(r[SEQ]) .. r[ID]
end

-- The members that begin with `prefix .. SEP`, at most `count`.
local function beginning(key, prefix, count)
  return call("ZRANGEBYLEX", key, "[" .. prefix .. SEP, "(" .. prefix .. "\1", "LIMIT", 0, count)
end

local function load(id)
  local raw = call("HGET", KEY_TASKS, id)
  return raw and decode(raw) or nil
end

local function first_score(key)
  local found = call("ZRANGE", key, 0, 0, "WITHSCORES")
  return found[2] and tonumber(found[2]) or HUGE
end

-- The policy in force for a tenant's queue, nil when nothing bounds it: the tighter of each bound of
-- its own and of that of "*".
local P_PAUSED, P_CONCURRENCY, P_RATE, P_BURST, P_KEY_CONCURRENCY, P_KEY_RATE = 1, 2, 3, 4, 5, 6
local policies_known, policy_count = {}, nil

local function tighter(own, all)
  return own > 0 and all > 0 and math.min(own, all) or math.max(own, all)
end

-- As Policy.within.
local function within(own, all)
  local p = { own[P_PAUSED] or all[P_PAUSED] }
  local one, other = own[P_RATE] + own[P_KEY_RATE] > 0, all[P_RATE] + all[P_KEY_RATE] > 0
  for _, bound in ipairs({ P_CONCURRENCY, P_RATE, P_KEY_CONCURRENCY, P_KEY_RATE }) do
    p[bound] = tighter(own[bound], all[bound])
  end
  if one and other then
    p[P_BURST] = math.min(own[P_BURST], all[P_BURST])
  else
    p[P_BURST] = other and all[P_BURST] or own[P_BURST]
  end
  return p
end

local function policy_of(tenant)
  policy_count = policy_count or call("HLEN", KEY_POLICIES)
  if policy_count == 0 then
    return nil
  end
  if policies_known[tenant] == nil then
    local found = call("HMGET", KEY_POLICIES, tenant, "*")
    local own, all = found[1] and decode(found[1]), found[2] and decode(found[2])
    policies_known[tenant] = own and all and within(own, all) or own or all or false
  end
  return policies_known[tenant] or nil
end

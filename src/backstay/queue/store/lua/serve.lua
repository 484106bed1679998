-- Creating and claiming.
function run.create(o)
  local stamp, id, tenant, payload, priority, max_attempts, due = o[3], o[4], o[5], o[6], o[7], o[8], o[9]
  local once, print = o[10], o[11]
  if once ~= "" then
    local known = call("HGET", KEY_ONCE, tenant .. SEP .. once)
    local cut = known and string.find(known, SEP, 1, true)
    local first = cut and load(string.sub(known, 1, cut - 1))
    if first then
      if string.sub(known, cut + 1) ~= print then
        return refused("conflict", first[ID])
      end
      return one(first)
    end
  end
  if call("HSETNX", KEY_PAYLOADS, id, payload) == 0 then
    -- It came before and the answer was lost; a payload alone is what an orphan left.
    local first = load(id)
    if first then
      return one(first)
    end
    call("HSET", KEY_PAYLOADS, id, payload)
  end
  local seq = next_seq(stamp)
  local r = {
    id, tenant, "", seq, priority, 0, max_attempts, 0, now, now, "", "", 0, "", 0, 0,
    once, print, o[12], o[13], o[14], o[15], "", o[16], 0, 0, "",
  }
  enter_waiting(r, due)
  save(r)
  call("ZADD", KEY_ORDER, seq, id)
  if once ~= "" then
    call("HSET", KEY_ONCE, tenant .. SEP .. once, id .. SEP .. print)
  end
  return { CREATED, seq }
end

-- --- claiming -------------------------------------------------------------------------------

local function lease(r, o, token, payload)
  local seconds = o[6]
  r[STATE], r[ATTEMPTS], r[WORKER], r[LEASE_TOKEN] = "leased", r[ATTEMPTS] + 1, o[4], token
  r[LEASE_UNTIL], r[CLAIMED_AT], r[UPDATED_AT], r[OP] = now + seconds, now, now, op_id
  local raw = encode(r)
  call("HSET", KEY_TASKS, r[ID], raw)
  call("ZADD", KEY_LEASES, lease_now + seconds, r[ID])
  if r[KEY] ~= "" then
    call("HINCRBY", KEY_HELD, r[TENANT] .. SEP .. r[KEY], 1)
  end
  show(raw, payload, "")
end

local function pick(o, tenant, wanted, taken)
  local p = policy_of(tenant)
  local room = p and admitted(tenant, p, wanted) or wanted
  local got = 0
  while got < room do
    local places = beginning(KEY_READY, tenant, room - got)
    if #places == 0 then
      call("ZREM", KEY_TURNS, tenant)
      turned[tenant] = nil
      break
    end
    local ids = {}
    for at, place in ipairs(places) do
      ids[at] = string.sub(place, #tenant + 2 + REST)
    end
    call("ZREM", KEY_READY, unpack(places))
    local raws = call("HMGET", KEY_TASKS, unpack(ids))
    local payloads = call("HMGET", KEY_PAYLOADS, unpack(ids))
    local back
    for at, raw in ipairs(raws) do
      if back and back < string.sub(places[at], #tenant + 2) then
        -- One that was put aside until now stands before what is left.
        for rest = at, #places do
          call("ZADD", KEY_READY, 0, places[rest])
        end
        break
      end
      -- An entry without a task is dropped here; its count is the audit's.
      local r = raw and decode(raw)
      if r and p and r[KEY] ~= "" and stopped_by_key(r, p) then
        call("ZADD", KEY_PARKED, 0, parked_member(r))
      elseif r then
        lease(r, o, o[5][taken + got + 1], payloads[at] or "")
        got = got + 1
        if p and p[P_KEY_RATE] > 0 and r[KEY] ~= "" then
          spend(tenant .. SEP .. r[KEY], p[P_KEY_RATE], 1)
          local came = next_of_key(r, p)
          back = back and came and (back < came and back or came) or back or came
        end
      end
    end
  end
  if got > 0 then
    count(tenant, "ready", -got)
    count(tenant, "leased", got)
    soon_on_leases(lease_now + o[6])
    if p and p[P_RATE] > 0 then
      spend(tenant .. SEP, p[P_RATE], got)
      admitted(tenant, p, 1) -- who waits on hears of the next token
    end
  end
  return got
end

-- Tenants with work, the longest unserved first; `among` empty means all.
local function in_turn(among, excluded, excluded_count, wanted)
  local found = {}
  if #among == 1 then
    found = excluded[among[1]] and {} or among
  elseif #among > 1 then
    local turn = {}
    for _, tenant in ipairs(among) do
      turn[tenant] = tonumber(call("ZSCORE", KEY_TURNS, tenant) or HUGE)
      if turn[tenant] < HUGE and not excluded[tenant] then
        found[#found + 1] = tenant
      end
    end
    table.sort(found, function(a, b) return turn[a] < turn[b] end)
  else
    for _, tenant in ipairs(call("ZRANGE", KEY_TURNS, 0, wanted + excluded_count - 1)) do
      if not excluded[tenant] then
        found[#found + 1] = tenant
      end
    end
  end
  return found
end

-- What a claim of the same tokens has leased in a call whose answer was lost. Its leases end at the
-- very moment that this call would give them.
local function claimed_before(o)
  local until_ = lease_now + o[6]
  local mine, found = {}, 0
  for _, token in ipairs(o[5]) do
    mine[token] = true
  end
  for _, id in ipairs(call("ZRANGEBYSCORE", KEY_LEASES, until_, until_)) do
    local r = load(id)
    if r and r[STATE] == "leased" and mine[r[LEASE_TOKEN]] then
      show(encode(r), call("HGET", KEY_PAYLOADS, id) or "", "")
      found = found + 1
    end
  end
  return found
end

-- For a tenant its own workers count and those of all; "" is anybody. Forgotten when there are too many.
local function note_poll(among)
  if call("HLEN", KEY_POLLS) > 10000 then
    call("DEL", KEY_POLLS)
  end
  local at = string.format("%.6f", now)
  call("HSET", KEY_POLLS, "", at)
  for _, tenant in ipairs(#among > 0 and among or { "*" }) do
    call("HSET", KEY_POLLS, tenant, at)
  end
end

function run.claim(o)
  local among, wanted, noted = o[7], o[8], o[9]
  if noted then
    note_poll(among)
  end
  local before = again and claimed_before(o) or 0
  if before > 0 then
    return { LIST, before, 1 }
  end
  local taken, excluded, excluded_count = 0, {}, 0
  while taken < wanted do
    local tenants = in_turn(among, excluded, excluded_count, wanted)
    if #tenants == 0 then
      break
    end
    local share = math.max(1, math.floor((wanted - taken) / #tenants))
    for _, tenant in ipairs(tenants) do
      local part = math.min(share, wanted - taken)
      if part <= 0 then
        break
      end
      local got = pick(o, tenant, part, taken)
      taken = taken + got
      if got < part then
        excluded[tenant], excluded_count = true, excluded_count + 1
      elseif #among ~= 1 then
        call("ZADD", KEY_TURNS, "XX", next_seq(0), tenant)
      end
    end
  end
  return { LIST, taken, call("EXISTS", KEY_READY) }
end

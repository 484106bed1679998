-- One stretch of a search over a command's tasks. Reads only; it looks at a bounded number of tasks
-- and says where to go on. Answers {how many, where it stands, whether that was all} and, of each
-- that fits, its record, payload and result.
local q = decode(ARGV[1])
local tenant, states, reply_to, tag, key, worker = q[1], q[2], q[3], q[4], q[5], q[6]
local after, before, newest, from, limit = q[7], q[8], q[9], q[10], q[11]
local CHUNK, BUDGET, SMALL = 250, 2000, 2000

local wanted = {}
for _, state in ipairs(states) do
  wanted[state] = true
end

local function tagged(r)
  for _, own in ipairs(r[TAGS]) do
    if own == tag then
      return true
    end
  end
  return false
end

local function fits(r)
  return (tenant == "" or r[TENANT] == tenant)
    and (#states == 0 or wanted[r[STATE]])
    and (reply_to == "" or (r[REPLY_TO] == reply_to and r[UNACKED] == 1))
    and (key == "" or r[KEY] == key)
    and (worker == "" or r[WORKER] == worker)
    and (after == 0 or r[CREATED_AT] > after)
    and (before == 0 or r[CREATED_AT] < before)
    and (tag == "" or tagged(r))
end

local answer, found = { "" }, 0
local function take(raw, r)
  found = found + 1
  answer[#answer + 1] = raw
  answer[#answer + 1] = call("HGET", KEY_PAYLOADS, r[ID]) or ""
  answer[#answer + 1] = call("HGET", KEY_RESULTS, r[ID]) or ""
end

local function finish(position, all)
  answer[1] = encode({ found, position, all })
  return answer
end

-- --- where tasks of these states are few, all of them are looked at -------------------------------

local INDEX = {
  leased = KEY_LEASES, delayed = KEY_DELAYED, dead = KEY_DEAD,
  completed = KEY_ENDED, failed = KEY_ENDED, cancelled = KEY_ENDED,
}

local function few()
  local keys, size = {}, 0
  for _, state in ipairs(states) do
    local index = INDEX[state]
    if not index then
      return nil
    end
    if not keys[index] then
      keys[index] = true
      size = size + call("ZCARD", index)
    end
    if index == KEY_ENDED and call("ZCARD", KEY_REPLIES) > 0 then
      return nil
    end
  end
  return size <= SMALL and keys or nil
end

local function gather(keys)
  local rows, met = {}, {}
  for index in pairs(keys) do
    for _, id in ipairs(call("ZRANGE", index, 0, -1)) do
      -- A dead letter stands in two of them.
      local raw = not met[id] and call("HGET", KEY_TASKS, id)
      met[id] = true
      local r = raw and decode(raw)
      local ahead = r and (from == "" or (newest and r[SEQ] < tonumber(from) or not newest and r[SEQ] > tonumber(from)))
      if ahead and fits(r) then
        rows[#rows + 1] = { raw, r }
      end
    end
  end
  table.sort(rows, function(a, b)
    if newest then
      return a[2][SEQ] > b[2][SEQ]
    end
    return a[2][SEQ] < b[2][SEQ]
  end)
  for at = 1, math.min(limit, #rows) do
    take(rows[at][1], rows[at][2])
  end
  return finish("", #rows <= limit)
end

-- --- otherwise in order, a stretch at a time ---------------------------------------------------------

local function next_ids()
  if reply_to ~= "" then
    local low, high = "[" .. reply_to .. SEP, "(" .. reply_to .. "\1"
    if from ~= "" then
      low = newest and low or "(" .. reply_to .. SEP .. from .. "\255"
      high = newest and "(" .. reply_to .. SEP .. from or high
    end
    if newest then
      return call("ZREVRANGEBYLEX", KEY_REPLIES, high, low, "LIMIT", 0, CHUNK)
    end
    return call("ZRANGEBYLEX", KEY_REPLIES, low, high, "LIMIT", 0, CHUNK)
  elseif newest then
    return call("ZREVRANGEBYSCORE", KEY_ORDER, from == "" and "+inf" or "(" .. from, "-inf", "LIMIT", 0, CHUNK)
  end
  return call("ZRANGEBYSCORE", KEY_ORDER, from == "" and "-inf" or "(" .. from, "+inf", "LIMIT", 0, CHUNK)
end

local function position(r)
  if reply_to ~= "" then
    return digits(math.floor(r[ENDED_AT] * 1e6)) .. digits(r[SEQ])
  end
  return string.format("%.0f", r[SEQ])
end

local chosen = #states > 0 and reply_to == "" and few()
if chosen then
  return gather(chosen)
end
local seen = 0
while seen < BUDGET do
  local places = next_ids()
  if #places == 0 then
    return finish(from, true)
  end
  local ids = places
  if reply_to ~= "" then
    ids = {}
    for at, place in ipairs(places) do
      ids[at] = string.sub(string.match(place, "^.*%z(.*)$"), 33)
    end
  end
  for at, raw in ipairs(call("HMGET", KEY_TASKS, unpack(ids))) do
    seen = seen + 1
    local r = raw and decode(raw)
    if r then
      local suits = fits(r)
      if suits and found == limit then
        return finish(from, false)
      end
      from = position(r)
      if suits then
        take(raw, r)
      end
    elseif reply_to ~= "" then
      -- An entry without a task is stepped over.
      from = string.sub(string.match(places[at], "^.*%z(.*)$"), 1, 32)
    else
      from = call("ZSCORE", KEY_ORDER, ids[at]) or from
    end
  end
  if #places < CHUNK then
    return finish(from, true)
  end
end
return finish(from, false)

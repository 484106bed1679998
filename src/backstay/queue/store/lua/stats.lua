-- Depth and age of one command's queues, per tenant. Reads only.
local rows, found = {}, {}
local counts = call("HGETALL", KEY_COUNTS)
for at = 1, #counts, 2 do
  local tenant, state = string.match(counts[at], "^(.*)%z(.-)$")
  if not found[tenant] then
    found[tenant] = { tenant, 0, 0, 0, 0, 0, false, 0 }
    rows[#rows + 1] = found[tenant]
  end
  local column = ({ ready = 2, delayed = 3, leased = 4, dead = 5 })[state]
  found[tenant][column] = tonumber(counts[at + 1])
end

local function due_of(place)
  local at = #string.match(place, "^.*%z") + 3
  return tonumber(string.sub(place, at, at + 15)) / 1e6
end

for _, row in ipairs(rows) do
  local tenant, oldest = row[1], HUGE
  -- The first of each priority is its oldest: one look per priority that has any.
  local from = "[" .. tenant .. SEP
  while row[2] > 0 do
    local place = call("ZRANGEBYLEX", KEY_READY, from, "(" .. tenant .. "\1", "LIMIT", 0, 1)[1]
    if not place then
      break
    end
    oldest = math.min(oldest, due_of(place))
    local rank = tonumber(string.sub(place, #tenant + 2, #tenant + 3))
    from = "[" .. tenant .. SEP .. string.format("%02.0f", rank + 1)
    if rank == 99 then
      break
    end
  end
  for _, place in ipairs(row[2] > 0 and beginning(KEY_PARKED, tenant, 1000) or {}) do
    oldest = math.min(oldest, due_of(place))
  end
  local p = policy_of(tenant)
  row[6] = oldest < HUGE and oldest or 0
  row[7] = p and p[P_PAUSED] or false
  local own, shared = unpack(call("HMGET", KEY_POLLS, tenant, "*"))
  row[8] = math.max(tonumber(own or 0), tonumber(shared or 0))
end
return encode(rows)

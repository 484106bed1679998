-- What a server looks for now and then: when time has work here, who could be served, what ended
-- since `ARGV[1]` (wall seconds), which readers have outcomes. Reads only, and only beginnings.
local waiting = {}
for _, tenant in ipairs(call("ZRANGE", KEY_TURNS, 0, 99)) do
  local p = policy_of(tenant)
  local leased = p and tonumber(call("HGET", KEY_COUNTS, tenant .. SEP .. "leased") or 0) or 0
  local full = p and (p[P_PAUSED] or (p[P_CONCURRENCY] > 0 and leased >= p[P_CONCURRENCY]))
  if not full then
    local count = call("ZLEXCOUNT", KEY_READY, "[" .. tenant .. SEP, "(" .. tenant .. "\1")
    if count > 0 then
      waiting[#waiting + 1] = { tenant, count }
    end
  end
end

local readers, from = {}, "-"
for _ = 1, 100 do
  local place = call("ZRANGEBYLEX", KEY_REPLIES, from, "+", "LIMIT", 0, 1)[1]
  if not place then
    break
  end
  local name = string.match(place, "^(.*)%z")
  readers[#readers + 1] = name
  from = "(" .. name .. "\1"
end

local recent = call("ZREVRANGEBYSCORE", KEY_ENDED, "+inf", ARGV[1], "LIMIT", 0, 500)
return encode({
  first_score(KEY_DELAYED), first_score(KEY_LEASES), first_score(KEY_ENDED), first_score(KEY_LIFTS),
  first_score(KEY_CALLBACKS_DUE), waiting, readers, recent,
  tonumber(call("HGET", KEY_POLLS, "") or 0),
  call("EXISTS", KEY_TASKS, KEY_PAYLOADS, KEY_POLICIES, KEY_CALLBACKS, KEY_PERIODICS),
})

-- The time that leases are judged by, shared by all servers: the store's own clock less what it has
-- jumped. KEYS[1] holds `shift` (seconds) and `last` (the newest time that was told).
-- ARGV[1]: what the asking server has counted on its monotonic clock, empty when it begins to count;
-- ARGV[2]: how far apart the two may be before it is called a jump.
local at = redis.call("TIME")
local wall = tonumber(at[1]) + tonumber(at[2]) / 1e6
local kept = redis.call("HMGET", KEYS[1], "shift", "last")
local shift, last = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
local jump = tonumber(ARGV[2])
local time, mine = wall - shift, tonumber(ARGV[1])
-- Who begins cannot tell a jump ahead from a time without servers; a jump back shows. Who has
-- counted knows better than the wall, unless the others have counted further: then it stood still.
local truth = mine or last
local jumped = mine and math.abs(time - mine) > jump and mine > last - jump or not mine and time < last - jump
if jumped then
  shift = wall - truth
  time = truth
  redis.call("HSET", KEYS[1], "shift", string.format("%.6f", shift))
end
redis.call("HSET", KEYS[1], "last", string.format("%.6f", time))
return { string.format("%.6f", time), jumped and 1 or 0 }

-- Living subscriptions to a queue that may be told now; they are marked as told in the same step, so
-- that of several servers one tells. KEYS[1] holds all of them; ended ones are deleted.
local asked = cmsgpack.unpack(ARGV[1])
local tenant, command, now, again = asked[1], asked[2], asked[3], asked[4]
local TENANT, COMMANDS, EXPIRES, INTERVAL, NOTIFIED = 1, 4, 5, 6, 7

local function listens(each)
  if each[TENANT] ~= tenant and each[TENANT] ~= "*" then
    return false
  end
  for _, own in ipairs(each[COMMANDS]) do
    if own == command then
      return true
    end
  end
  return #each[COMMANDS] == 0
end

local told = {}
local all = redis.call("HGETALL", KEYS[1])
for at = 1, #all, 2 do
  local each = cmsgpack.unpack(all[at + 1])
  if listens(each) then
    local since = now - each[NOTIFIED]
    if each[EXPIRES] <= now then
      redis.call("HDEL", KEYS[1], all[at])
    -- Told "in the future" means before the clock was set back; told now, in a repeated call, means
    -- that the first answer was lost.
    elseif since < 0 or since >= each[INTERVAL] or (again and since == 0) then
      each[NOTIFIED] = now
      told[#told + 1] = cmsgpack.pack(each)
      redis.call("HSET", KEYS[1], all[at], told[#told])
    end
  end
end
return told

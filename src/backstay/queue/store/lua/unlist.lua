-- A command is taken off the list of commands unless somebody has used it since `ARGV[2]`. KEYS[1]
-- is the list, ARGV[1] the command.
local used = redis.call("ZSCORE", KEYS[1], ARGV[1])
if used and tonumber(used) <= tonumber(ARGV[2]) then
  return redis.call("ZREM", KEYS[1], ARGV[1])
end
return 0

-- A command that is not used any more: its keys go if nothing lies in them, in one step, so that a
-- task that another server creates meanwhile is safe.
if call("EXISTS", KEY_TASKS, KEY_PAYLOADS, KEY_POLICIES, KEY_CALLBACKS, KEY_PERIODICS) == 0 then
  return call("DEL", unpack(KEYS))
end
return 0

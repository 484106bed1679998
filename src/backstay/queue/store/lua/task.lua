-- One task: its record, payload, result and the deliveries that did not end it. Reads only.
local id = ARGV[1]
return {
  call("HGET", KEY_TASKS, id), call("HGET", KEY_PAYLOADS, id), call("HGET", KEY_RESULTS, id),
  call("HGET", KEY_HISTORY, id),
}

-- Do what was asked, in its order; then write what was gathered, tell the other servers, answer.
local results = {}
for at, o in ipairs(ops) do
  now = o[2]
  op_id = nonce .. string.format("%.0f", o[3])
  results[at] = run[o[1]](o)
end
write_counts()
if seq_moved then
  call("SET", KEY_SEQ, string.format("%.0f", last_seq))
end

local happened = {}
local tenants, names = {}, {}
for tenant, many in pairs(ready) do
  tenants[#tenants + 1] = { tenant, many }
end
for name in pairs(replies) do
  names[#names + 1] = name
end
happened = { tenants, earliest, earliest_lease, ended, names, expired, deliveries, periodics }
local told = ready_any or math.min(earliest, earliest_lease) < HUGE or #ended > 0 or periodics > 0 or deliveries > 0
if others and told then
  call("PUBLISH", CHANNEL, encode({ nonce, asked[12], tenants, earliest, earliest_lease, ended, names, {}, deliveries, periodics }))
end
blobs[1] = encode({ results, happened, last_seq or 0 })
return blobs

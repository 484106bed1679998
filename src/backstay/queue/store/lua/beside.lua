-- What stands beside tasks: bounds, the calendar, result callbacks.
local LIFT = 1000

local function tell_waiting(tenant)
  local waiting = call("ZLEXCOUNT", KEY_READY, "[" .. tenant .. SEP, "(" .. tenant .. "\1")
  has_work(tenant, waiting)
end

function run.set_policy(o)
  local tenant, policy = o[4], o[5]
  if #policy == 0 then
    call("HDEL", KEY_POLICIES, tenant)
  else
    call("HSET", KEY_POLICIES, tenant, encode(policy))
  end
  policies_known, policy_count = {}, nil
  -- The bound may have been lifted: whoever waits looks again, with the new one in force.
  if tenant ~= "*" then
    unpark_all(tenant, LIFT)
    tell_waiting(tenant)
  else
    unpark_every("", LIFT)
    for _, name in ipairs(call("ZRANGE", KEY_TURNS, 0, LIFT - 1)) do
      tell_waiting(name)
    end
  end
  return { COUNT, 1 }
end

function run.set_periodic(o)
  local field, periodic, remove = o[4], o[5], o[6]
  periodics = 1
  if remove then
    return { COUNT, call("HDEL", KEY_PERIODICS, field) }
  end
  call("HSET", KEY_PERIODICS, field, encode(periodic))
  return { COUNT, 1 }
end

function run.fire(o)
  local field, at, next_at, create = o[4], o[5], o[6], o[7]
  local raw = call("HGET", KEY_PERIODICS, field)
  local periodic = raw and decode(raw)
  -- Done before, in a call whose answer was lost.
  if again and #create > 0 and call("HEXISTS", KEY_TASKS, create[4]) == 1 then
    return one(load(create[4]))
  end
  if not periodic or periodic[PERIODIC_NEXT_AT] ~= at then
    return { COUNT, 0 }
  end
  local made = { COUNT, 1 }
  if #create > 0 then
    made = run.create(create)
    if made[1] == REFUSED then
      return made
    end
    periodic[PERIODIC_LAST_AT] = at
  end
  periodic[PERIODIC_NEXT_AT] = next_at
  call("HSET", KEY_PERIODICS, field, encode(periodic))
  periodics = 1
  return made[1] == CREATED and one(load(create[4])) or made
end

local D_DUE, D_ATTEMPTS, D_ERROR, D_GIVEN_UP = 5, 6, 7, 8

function run.take_deliveries(o)
  local seconds, limit, taken = o[4], o[5], 0
  for _, id in ipairs(each_due(KEY_CALLBACKS_DUE, now, limit)) do
    local raw = call("HGET", KEY_CALLBACKS, id)
    if raw then
      local d = decode(raw)
      d[D_DUE] = now + seconds
      blobs[#blobs + 1] = encode(d)
      call("HSET", KEY_CALLBACKS, id, blobs[#blobs])
      call("ZADD", KEY_CALLBACKS_DUE, d[D_DUE], id)
      taken = taken + 1
    else
      call("ZREM", KEY_CALLBACKS_DUE, id)
    end
  end
  return { OTHERS, taken }
end

-- `due` below 0: no further try.
function run.settle_delivery(o)
  local id, error, due = o[4], o[5], o[6]
  local raw = call("HGET", KEY_CALLBACKS, id)
  if not raw then
    return { COUNT, 0 }
  end
  if due < 0 and error == "" then
    forget_callback(id)
    return { COUNT, 1 }
  end
  local d = decode(raw)
  -- A time for one that was given up is a person's wish: its tries start anew.
  d[D_ATTEMPTS] = d[D_GIVEN_UP] and 0 or d[D_ATTEMPTS] + 1
  d[D_ERROR], d[D_GIVEN_UP] = error, due < 0
  if due < 0 then
    call("ZREM", KEY_CALLBACKS_DUE, id)
    call("ZADD", KEY_CALLBACKS_LOST, now, id)
  else
    d[D_DUE] = due
    call("ZREM", KEY_CALLBACKS_LOST, id)
    call("ZADD", KEY_CALLBACKS_DUE, due, id)
    deliveries = deliveries + 1
  end
  call("HSET", KEY_CALLBACKS, id, encode(d))
  return { COUNT, 1 }
end

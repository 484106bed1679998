-- One call: what it was asked, what it changed, what it answers. Operations look first and change
-- afterwards, so that a refused one has changed nothing and its neighbours stand.
--
-- `lease_now` is the time that leases and rates are judged by: the server's clock, corrected for
-- jumps (store/redis_time.py). `again` says that the answer to this very call may have been lost.
local run = {}
local asked = decode(ARGV[1])
local lease_now, again, others, nonce, chance = asked[1], asked[2], asked[3], asked[4], asked[5]
local BACKOFF, BASE, CAP = asked[6], asked[7], asked[8]
local RETENTION, ABANDON_DELAY, ops = asked[9], asked[10], asked[11]
local CHANNEL = ARGV[2]

local now, op_id = 0, ""
local blobs = { "" } -- the first is the summary, written last
local ready, ready_any = {}, false
local ended, replies, expired, deliveries, periodics = {}, {}, {}, 0, 0

-- When time has work next because of this call: on the wall clock, and on the clock of leases.
local earliest, earliest_lease = HUGE, HUGE
local function soon(at)
  earliest = math.min(earliest, at)
end

local function soon_on_leases(at)
  earliest_lease = math.min(earliest_lease, at)
end

-- Counts per tenant and state are kept by the step that changes them, written once at the end.
local counted = {}
local function count(tenant, state, by)
  local field = tenant .. SEP .. state
  counted[field] = (counted[field] or 0) + by
end

local function depth(tenant, state)
  local field = tenant .. SEP .. state
  return tonumber(call("HGET", KEY_COUNTS, field) or 0) + (counted[field] or 0)
end

local function write_counts()
  for field, by in pairs(counted) do
    if by ~= 0 and call("HINCRBY", KEY_COUNTS, field, by) == 0 then
      call("HDEL", KEY_COUNTS, field)
    end
  end
end

-- Arrival numbers are microseconds of the caller's clock, pushed on where they would repeat: they
-- order one command strictly and several commands as well as clocks allow.
local last_seq, seq_moved
local function next_seq(stamp)
  last_seq = last_seq or tonumber(call("GET", KEY_SEQ) or 0)
  last_seq = math.max(last_seq + 1, stamp)
  seq_moved = true
  return last_seq
end

local function save(r)
  r[UPDATED_AT] = now
  r[OP] = op_id
  call("HSET", KEY_TASKS, r[ID], encode(r))
end

-- --- answers --------------------------------------------------------------------------------

local CREATED, ONE, LIST, COUNT, REFUSED, OTHERS = 0, 1, 2, 3, 4, 5

local function show(raw, payload, result)
  local at = #blobs
  blobs[at + 1], blobs[at + 2], blobs[at + 3] = raw, payload, result
end

local function one(r)
  local id = r[ID]
  show(encode(r), call("HGET", KEY_PAYLOADS, id) or "", call("HGET", KEY_RESULTS, id) or "")
  return { ONE }
end

local function refused(why, value)
  return { REFUSED, why, value or "" }
end

-- Another tenant's task is as unknown as none: its id must tell nothing.
local function find(tenant, id)
  local r = load(id)
  if r and (tenant == "*" or tenant == r[TENANT]) then
    return r
  end
  return nil, refused("missing")
end

-- Whether this very operation has already changed the task, in a call whose answer was lost.
local function was_done(r)
  return again and r[OP] == op_id
end

-- The task that this worker may act on now, else nil and why not (decisions 1 and 2).
local function held(r, worker, token)
  if r[STATE] ~= "leased" then
    return refused("state", r[STATE])
  end
  if r[WORKER] ~= worker then
    return refused("owner")
  end
  if token ~= "" then
    return token ~= r[LEASE_TOKEN] and refused("stale") or nil
  end
  local deadline = tonumber(call("ZSCORE", KEY_LEASES, r[ID]) or 0)
  -- A repeated call without a token must not act on a lease that is younger than the call.
  if deadline <= lease_now or (again and r[CLAIMED_AT] > now) then
    return refused("stale")
  end
  return nil
end

local draws = 0
-- Seconds until the next try. One chance comes with the call; steps of the golden ratio spread it
-- over the operations of the call.
local function backoff(attempt)
  draws = draws + 1
  local share = (chance + (draws - 1) * 0.6180339887498949) % 1
  local tries = math.max(1, attempt)
  if BACKOFF == "fixed" then
    return math.min(BASE, CAP)
  elseif BACKOFF == "linear" then
    return math.min(BASE * tries, CAP)
  end
  local ceiling = math.min(BASE * 2 ^ math.min(tries - 1, 64), CAP)
  if BACKOFF == "exponential" then
    return ceiling
  elseif BACKOFF == "exp_equal_jitter" then
    return ceiling / 2 + share * ceiling / 2
  end
  return share * ceiling
end

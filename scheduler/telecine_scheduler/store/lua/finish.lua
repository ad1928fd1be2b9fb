#!lua flags=allow-oom
-- How an attempt ended, as its worker says (T8 to T11, T14; T5 where the accept was lost).
--
-- Header   lease TTL in us; endings (attempt.lua)
-- Item     name; token; "SUCCEEDED" | "FAILED" | "RETURNED" | "CANCELLED"; failure kind or ""; result, or failure; failure without
--          its log; CPU time in us; what else it cost (codec.cost); random number 0..1
-- Reply    {ack, attempt's outcome or "", ran in us or ""} with ack "COMMITTED" | "ALREADY" | "STALE" | "CANCELLED" | "RETRYING" |
--          "FORGIVEN" | "ADOPTABLE" (crashes.lua)
local n = number()
local ttl = number()
local endings = read_endings()
local HELD = { L = true, R = true, C = true }

local function returned(job, failure, random, cpu_us, cost)
  if call('HINCRBY', job.key, 're', 1) > MAX_RETURNS then
    fail(job, endings, 'RETRYABLE', failure, failure, random, 'RETURNED', cpu_us, cost)
    return
  end
  release(job)
  log_attempt(job, 'RETURNED', cpu_us, cost)
  change(job, 'Q', 'RETURNED')
  give_back(job)
end

local function finish(name, token, outcome, kind, value, short, cpu_us, cost, random)
  local job = load(name)
  if not job then return { 'STALE', '', '' } end
  -- A lease that was taken for lost and did crash stays charged.
  if job.tk ~= token then return { kind == 'CRASH' and not adoptable(job, token) and 'STALE' or superseded(job, token), '', '' } end
  if not HELD[job.st] then return { 'ALREADY', '', '' } end
  begin(job, ttl)
  local ran = job.sa and int(math.max(0, NOW - tonumber(job.sa))) or ''
  if job.st == 'C' then
    cancelled(job, 'CANCELLED', cpu_us, cost)
    return { 'CANCELLED', 'CANCELLED', ran }
  end
  if outcome == 'SUCCEEDED' then
    release(job)
    call('HSET', P .. 'x:' .. name, 'r', value)
    call('HDEL', P .. 'x:' .. name, 'f')
    log_attempt(job, 'SUCCEEDED', cpu_us, cost)
    retire(job, 'S', 'SUCCEEDED')
    return { 'COMMITTED', 'SUCCEEDED', ran }
  end
  if outcome == 'FAILED' then
    local to = fail(job, endings, kind, value, short, random, 'FAILED', cpu_us, cost)
    return { to == 'F' and 'COMMITTED' or 'RETRYING', 'FAILED', ran }
  end
  -- CANCELLED without a cancel (lost in a failover): the worker stopped for nothing, and gives the job back.
  returned(job, value, random, cpu_us, cost)
  return { 'RETRYING', 'RETURNED', ran }
end

local replies = {}
for i = 1, n do
  replies[i] = finish(arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg(), number())
end
return reply(replies)

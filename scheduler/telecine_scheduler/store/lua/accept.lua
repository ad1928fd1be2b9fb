#!lua flags=allow-oom
-- The worker's answer to a grant (T5, T6).
--
-- Header   lease TTL in us
-- Item     name; token; "" for yes, else why not; random number 0..1
-- Reply    {"KEEP", waited in us or ""} | what held (attempt.lua) answers; waited is set when this began the job's first attempt
local n = number()
local ttl = number()

local MAX_REFUSALS = 3
-- How long a job waits at most after its third refusal; twice as long after each further one, up to the second number.
local REFUSED_US, MOST_REFUSED_US = 15000000, 300000000

-- T6: a grant that was refused. From the third refusal on before a start, the job waits a little (random: 0..1).
local function refuse(job, refusal, random)
  if AVOIDED[refusal] then
    avoid(job, NOW + AVOID_US)
    count_refusal(job)
  end
  local refusals = call('HINCRBY', job.key, 'rf', 1)
  if refusals < MAX_REFUSALS then return ungrant(job) end
  release(job)
  bump_token(job)
  refund(job)
  call('HSET', job.key, 'wr', 'REFUSED')
  change(job, 'W', 'REFUSED')
  local longest = math.min(REFUSED_US * 2 ^ (refusals - MAX_REFUSALS), MOST_REFUSED_US)
  call('ZADD', P .. 'due', int(NOW + longest / 3 + random * longest * 2 / 3), job.name)
end

local function accept(name, token, refusal, random)
  local job, answer = held(name, token)
  -- Whoever refuses a lease does not want it back.
  if not job then return refusal ~= '' and answer[1] == 'ADOPTABLE' and { 'STALE' } or answer end
  if job.st == 'L' and refusal ~= '' then
    refuse(job, refusal, random)
    return { 'STALE' }
  end
  return { 'KEEP', begin(job, ttl) }
end

local replies = {}
for i = 1, n do replies[i] = accept(arg(), arg(), arg(), number()) end
return reply(replies)

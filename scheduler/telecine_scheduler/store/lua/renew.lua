#!lua flags=allow-oom
-- Keep leases, and take in their progress (T7; T5 where the accept was lost).
--
-- Header   lease TTL in us; endings (attempt.lua)
-- Item     name; token; sequence of the renewal; progress or ""
-- Reply    {"KEEP", waited in us or ""} | what held (attempt.lua) answers; {"STALE", timeout, ran in us} when a limit that is
--          over ended the job just now
local n = number()
local ttl = number()
local endings = read_endings()

local function renew(name, token, sequence, progress)
  local job, answer = held(name, token, endings)
  if not job then return answer end
  local waited = begin(job, ttl)
  -- XX: a lease that was reclaimed is never brought back. GT: the publish window is never shortened.
  call('ZADD', P .. 'lease', 'XX', 'GT', int(NOW + ttl), name)
  if progress ~= '' and sequence > tonumber(job.ps or '-1') then
    call('HSET', P .. 'x:' .. name, 'p', progress)
    revise(job)
    call('HSET', job.key, 'ps', int(sequence), 'pt', int(job.rv))
  end
  return { 'KEEP', waited }
end

local replies = {}
for i = 1, n do replies[i] = renew(arg(), arg(), number(), arg()) end
return reply(replies)

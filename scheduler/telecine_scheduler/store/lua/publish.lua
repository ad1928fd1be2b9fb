#!lua flags=allow-oom
-- May a worker make its files visible? (T7p) From the yes on the job cannot be cancelled, and its lease is not shortened.
--
-- Header   publish window in us; lease TTL in us; endings (attempt.lua)
-- Item     name; token
-- Reply    {"ALLOWED", waited in us or ""} | {"CANCEL", the job's own grace in us or ""} | {"STALE"} |
--          {"STALE", timeout, ran in us} when a limit that is over ended the job just now
local n = number()
local window, ttl = number(), number()
local endings = read_endings()

local function publish(name, token)
  local job = load(name)
  if not job or job.tk ~= token then return { 'STALE' } end
  if job.st == 'C' then return { 'CANCEL', own_grace(job) } end
  if job.st ~= 'R' and job.st ~= 'L' then return { 'STALE' } end
  local over = overrun_reply(job, endings)
  if over then return over end
  local waited = begin(job, ttl)
  call('HSET', job.key, 'pb', '1')
  call('ZADD', P .. 'lease', 'XX', 'GT', int(NOW + window), name)
  return { 'ALLOWED', waited }
end

local replies = {}
for i = 1, n do replies[i] = publish(arg(), arg()) end
return reply(replies)

#!lua flags=allow-oom
-- May a worker make its files visible? (T7p) From the yes on the job cannot be cancelled, and its lease is not shortened.
--
-- Header   publish window in us; lease TTL in us
-- Item     name; token
-- Reply    {"ALLOWED", waited in us or ""} | {"CANCEL"} | {"STALE"}
local n = number()
local window, ttl = number(), number()

local function publish(name, token)
  local job = load(name)
  if not job or job.tk ~= token then return { 'STALE' } end
  if job.st == 'C' then return { 'CANCEL' } end
  if job.st ~= 'R' and job.st ~= 'L' then return { 'STALE' } end
  local waited = begin(job, ttl)
  call('HSET', job.key, 'pb', '1')
  call('ZADD', P .. 'lease', 'XX', 'GT', int(NOW + window), name)
  return { 'ALLOWED', waited }
end

local replies = {}
for i = 1, n do replies[i] = publish(arg(), arg()) end
return reply(replies)

#!lua flags=allow-oom
-- May a worker make its files visible? (T7p) From the yes on, until the window is over, the job cannot be cancelled, no limit
-- ends it, and its lease is not shortened. Asking again begins a new window; nothing else does.
--
-- Header   publish window in us; lease TTL in us; endings (attempt.lua)
-- Item     name; token
-- Reply    {"ALLOWED", waited in us or ""} | what held (attempt.lua) answers; {"STALE", timeout, ran in us} when a limit that is
--          over ended the job just now
local n = number()
local window, ttl = number(), number()
local endings = read_endings()

local function publish(name, token)
  local job, answer = held(name, token, endings)
  if not job then return answer end
  local waited = begin(job, ttl)
  local ends = math.max(count(job.pb), NOW + window)
  call('HSET', job.key, 'pb', int(ends))
  call('ZADD', P .. 'lease', 'XX', 'GT', int(ends), name)
  return { 'ALLOWED', waited }
end

local replies = {}
for i = 1, n do replies[i] = publish(arg(), arg()) end
return reply(replies)

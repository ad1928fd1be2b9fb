#!lua flags=allow-oom
-- The worker's answer to a grant (T5, T6).
--
-- Header   lease TTL in us
-- Item     name; token; "" for yes, else why not; random number 0..1
-- Reply    {"KEEP", waited in us or ""} | {"CANCEL", the job's own grace in us or ""} | {"STALE"}; waited is set when this began the job's first attempt
local n = number()
local ttl = number()

local function accept(name, token, refusal, random)
  local job, answer = held(name, token)
  if not job then return answer end
  if job.st == 'L' and refusal ~= '' then
    refuse(job, refusal, random)
    return { 'STALE' }
  end
  return { 'KEEP', begin(job, ttl) }
end

local replies = {}
for i = 1, n do replies[i] = accept(arg(), arg(), arg(), number()) end
return reply(replies)

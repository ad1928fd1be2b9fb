#!lua flags=allow-oom
-- The worker's answer to a grant (T5, T6).
--
-- Header   lease TTL in us
-- Item     name; token; "" for yes, else why not; random number 0..1
-- Reply    {"KEEP", waited in us or ""} | {"CANCEL", the job's own grace in us or ""} | {"STALE"}; waited is set when this began the job's first attempt
local n = number()
local ttl = number()

local function accept(name, token, refusal, random)
  local job = load(name)
  if not job or job.tk ~= token then return { 'STALE' } end
  if job.st == 'C' then return { 'CANCEL', own_grace(job) } end
  if job.st == 'R' then return { 'KEEP', '' } end
  if job.st ~= 'L' then return { 'STALE' } end
  if refusal ~= '' then
    ungrant(job, refusal, random)
    return { 'STALE' }
  end
  return { 'KEEP', begin(job, ttl) }
end

local replies = {}
for i = 1, n do replies[i] = accept(arg(), arg(), arg(), number()) end
return reply(replies)

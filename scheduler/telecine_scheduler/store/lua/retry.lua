#!lua
-- Run FAILED or CANCELLED jobs again, as a new generation with new counters and limits (T16).
--
-- Header   that of verbs that admit (admission.lua)
-- Item     name; generation the caller saw, 0: any; class
-- Reply    {"OK" | "NOT_FINISHED" | "SUCCEEDED" | "GENERATION_MISMATCH", dump} | {"NOT_FOUND", ""} | {"QUEUE_FULL", limit} |
--          {"TENANT_FULL", limit} | {"CLASS_LIMIT", limit}; OK where it is one generation further already, and nothing changes
local n = number()
local admission = read_admission()

local function again(job)
  local generation = count(job.gn or '1') + 1
  call('ZREM', P .. 'ret', job.name)
  call('HDEL', job.key, 'fa', 'cr', 'lo', 're', 'rf', 'uk', 'ps', 'pt', 'et', 'av', 'au')
  call('HDEL', P .. 'x:' .. job.name, 'p', 'f', 'r', 'cn', 'c')
  call('HSET', job.key, 'cl', job.cl, 'gn', generation)
  count_class(job)
  local seq = tick()
  if job.lm then
    job.gs = int(seq)
    call('HSET', job.key, 'gs', job.gs)
  end
  change(job, 'Q', 'RETRIED')
  arm(job)
  make_ready(job, seq)
end

local function retry(name, expected, class_text)
  local job = load(name)
  if not job then return { 'NOT_FOUND', '' } end
  local generation = count(job.gn or '1')
  if expected > 0 and generation == expected + 1 then return { 'OK', dump(name, false) } end
  if expected > 0 and generation ~= expected then return { 'GENERATION_MISMATCH', dump(name, false) } end
  if job.st == 'S' then return { 'SUCCEEDED', dump(name, false) } end
  if job.st ~= 'F' and job.st ~= 'X' then return { 'NOT_FINISHED', dump(name, false) } end
  local word, limit = full(admission, job.tenant, 0)
  if word then return { word, limit } end
  local most = classes_full(admission, class_text, job.tenant)
  if most then return { 'CLASS_LIMIT', most } end
  job.cl = class_of(admission, class_text)
  again(job)
  return { 'OK', dump(name, false) }
end

local replies = {}
for i = 1, n do replies[i] = retry(arg(), number(), arg()) end
return reply(replies)

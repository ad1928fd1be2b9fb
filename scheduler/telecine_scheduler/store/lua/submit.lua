#!lua
-- Admit jobs (T1, T2).
--
-- Header   that of verbs that admit (admission.lua)
-- Item     a job (admission.lua)
-- Reply    {"CREATED", dump} | {"EXISTS", dump with spec} (an equal or another spec: the caller compares) |
--          {"SPENT", free again at} | {"QUEUE_FULL", limit} | {"TENANT_FULL", limit} | {"CLASS_LIMIT", limit}
local n = number()
local admission = read_admission()

local function submit(job)
  if call('EXISTS', job.key) == 1 then return { 'EXISTS', dump(job.name, true) } end
  local free_at = spent(job.name)
  if free_at then return { 'SPENT', free_at } end
  local word, limit = full(admission, job.tenant, 0)
  if word then return { word, limit } end
  local most = classes_full(admission, job.class_text, job.tenant)
  if most then return { 'CLASS_LIMIT', most } end
  return { 'CREATED', admit(admission, job) }
end

local replies = {}
for i = 1, n do replies[i] = submit(read_job()) end
return reply(replies)

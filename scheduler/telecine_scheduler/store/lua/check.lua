#!lua flags=no-writes
-- What submit_all would answer; nothing is written.
--
-- Header   that of verbs that admit (admission.lua)
-- Item     number of jobs; then the jobs (admission.lua)
-- Reply    {"ADMISSIBLE", dump of the job that exists, or ""...} | {"REFUSED", ...} as of submit_all
local n = number()
local admission = read_admission()

local function foresee(jobs)
  local refused = check(admission, jobs)
  if refused[1] then return { 'REFUSED', unpack(refused) } end
  local out = { 'ADMISSIBLE' }
  for place, job in ipairs(jobs) do out[place + 1] = job.exists and dump(job.name, false) or '' end
  return out
end

local replies = {}
for i = 1, n do replies[i] = foresee(read_batch()) end
return replies

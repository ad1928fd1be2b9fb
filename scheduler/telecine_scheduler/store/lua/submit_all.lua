#!lua
-- Admit a batch of jobs of one tenant, no name twice: all, or none (T1, T2).
--
-- Header   that of verbs that admit (admission.lua)
-- Item     number of jobs; then the jobs (admission.lua)
-- Reply    {"STORED", {"CREATED" | "EXISTS", dump}...} | {"REFUSED", {place from 1, word, value}...} with the words and values of
--          submit for each job that is refused; "EXISTS", "" where the digests differ
local n = number()
local admission = read_admission()

local function submit_all(jobs)
  local refused = check(admission, jobs)
  if refused[1] then return { 'REFUSED', unpack(refused) } end
  local out = { 'STORED' }
  for place, job in ipairs(jobs) do
    if job.exists then
      out[place + 1] = { 'EXISTS', dump(job.name, false) }
    else
      out[place + 1] = { 'CREATED', admit(admission, job) }
    end
  end
  return out
end

local replies = {}
for i = 1, n do replies[i] = submit_all(read_batch()) end
return reply(replies)

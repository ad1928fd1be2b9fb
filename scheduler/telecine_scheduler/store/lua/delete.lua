#!lua flags=allow-oom
-- Delete the records of final jobs, and keep their ids taken for a while (T17).
--
-- Header   how long an id stays taken in us
-- Item     name
-- Reply    "OK" | "NOT_FINISHED" | "NOT_FOUND"; OK too while the id of a deleted job is still taken
local n = number()
local taken = number()
local FINAL = { S = true, F = true, X = true }

local function delete(name)
  local job = load(name)
  if not job then return count(call('ZSCORE', P .. 'tomb', name)) > NOW and 'OK' or 'NOT_FOUND' end
  if not FINAL[job.st] then return 'NOT_FINISHED' end
  purge(job)
  call('ZADD', P .. 'tomb', int(NOW + taken), name)
  return 'OK'
end

local replies = {}
for i = 1, n do replies[i] = delete(arg()) end
return replies

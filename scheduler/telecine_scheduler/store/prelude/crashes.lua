-- So many times a job comes back uncharged: given back, or taken for lost by mistake. Then that is charged like anything else, or
-- a job that makes its workers silent would run for ever.
local MAX_RETURNS = 20

-- What is remembered of crashes: who had the job, and under which token; and what a token is good for that is not the job's.

-- In x:<name> as c, a line each, the last ones of this generation: "L|token|worker" where the lease ran out or was reclaimed,
-- "F|token|worker" where the worker said it.
local function crashes_of(job)
  local crashes = {}
  for line in string.gmatch(call('HGET', P .. 'x:' .. job.name, 'c') or '', '[^\n]+') do crashes[#crashes + 1] = line end
  return crashes
end

-- A lease was taken for lost and its holder is there after all: that was no crash, but the job came back. Once for each; a final
-- state stays.
local function forgive(job, token)
  if not job.cr or count(job.re) >= MAX_RETURNS or job.st == 'S' or job.st == 'F' or job.st == 'X' then return false end
  local crashes, kept = crashes_of(job), {}
  for _, line in ipairs(crashes) do
    if string.match(line, '^L|(%d+)|') ~= token then kept[#kept + 1] = line end
  end
  if #kept == #crashes then return false end
  if call('HINCRBY', job.key, 'cr', -1) <= 0 then call('HDEL', job.key, 'cr') end
  call('HINCRBY', job.key, 're', 1)
  if kept[1] then
    call('HSET', P .. 'x:' .. job.name, 'c', table.concat(kept, '\n'))
  else
    call('HDEL', P .. 'x:' .. job.name, 'c')
  end
  return true
end

-- Whether the job's generation began after this number of the clock.
local function began_after(job, number)
  if number <= tonumber(job.ct) then return true end
  for _, change in ipairs(call('LRANGE', P .. 'h:' .. job.name, 0, -1)) do
    local revision, reason = string.match(change, '^(%d+)|%u|(.*)$')
    if reason == 'RETRIED' and tonumber(revision) > number then return true end
  end
  return false
end

-- Whether a failover lost the lease with this token, and nobody has been given the job since (T18). resync.lua wrote which
-- tokens may have been lost.
local function adoptable(job, token)
  local number = tonumber(token)
  if (job.st ~= 'W' and job.st ~= 'Q') or number <= count(job.tk) then return false end
  local lost = call('HMGET', P .. 'meta', 'lost_from', 'lost_to')
  if not lost[1] or number <= tonumber(lost[1]) or number > tonumber(lost[2]) then return false end
  return not began_after(job, number)
end

-- What a message comes to whose token is not the job's. FORGIVEN is STALE, and a crash was taken back.
local function superseded(job, token)
  if adoptable(job, token) then return 'ADOPTABLE' end
  return forgive(job, token) and 'FORGIVEN' or 'STALE'
end

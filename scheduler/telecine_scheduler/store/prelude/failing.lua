-- Attempts that fail and leases whose holders are gone: what that costs a job, and when it is tried again.

-- d/2 + random * d/2 with d = min(max, initial * 2^(n-1)); the random number (0..1) comes from the scheduler.
local function backoff(p, n, random)
  local delay = math.min(p.max, p.initial * 2 ^ (n - 1))
  return math.floor(delay / 2 + random * delay / 2)
end

-- A tenant's next retry is due no earlier than this: retries are spread, so that they do not come all at once. Only what is
-- ahead of now is kept, so that a tenant without retries costs nothing. The debt of many, which may have been cancelled since,
-- makes nobody wait longer than the longest backoff does, and a burst's share.
local function next_slot(tenant, endings, longest)
  if endings.interval <= 0 then return NOW end
  local key = P .. 'retries'
  call('ZREMRANGEBYSCORE', key, '-inf', int(NOW))
  local most = NOW + longest + endings.burst * endings.interval
  local full_at = math.min(math.max(NOW, count(call('ZSCORE', key, tenant))), most)
  call('ZADD', key, int(full_at + endings.interval), tenant)
  return math.max(NOW, full_at - (endings.burst - 1) * endings.interval)
end

-- So many crashes are remembered.
local MAX_CRASHES = 16

-- Notes a crash of the attempt that just ended. On how many workers the job has crashed by now.
local function note_crash(job, outcome)
  local crashes, workers, number = crashes_of(job), {}, 0
  crashes[#crashes + 1] = table.concat({ outcome == 'LOST' and 'L' or 'F', job.tk, job.wk or '' }, '|')
  if #crashes > MAX_CRASHES then table.remove(crashes, 1) end
  call('HSET', P .. 'x:' .. job.name, 'c', table.concat(crashes, '\n'))
  for _, line in ipairs(crashes) do workers[string.match(line, '([^|]*)$')] = true end
  for _ in pairs(workers) do number = number + 1 end
  return number
end

-- A job that crashes whoever runs it is not tried to the end: three crashes on two workers, or three where no other connected
-- worker could run it.
local POISON = 3
local function is_poison(job, crashes, workers) return crashes >= POISON and (workers > 1 or not has_other(job)) end

-- The last crash's Failure made that of a poison job: on the wire a later field replaces an earlier one, and the message, whose
-- tag ends endings.POISON, is shorter than 128 bytes.
local function poison_failure(failure, endings, crashes, workers)
  local text = string.format(
    'the job crashed %d times on %d worker%s: see its attempts for what it needs and they lack', crashes, workers,
    workers == 1 and '' or 's'
  )
  return failure .. endings.POISON .. string.char(#text) .. text
end

-- T9, T10: an attempt failed or its worker was lost. failure is what watchers see, short the same without the log. Charged as
-- kind says: "crash" counts crashes, everything else failures. Returns the state it went to.
local function fail(job, endings, kind, failure, short, random, outcome, cpu_us, cost)
  local p, crash = policy(job), kind == 'CRASH'
  release(job)
  local field, other = crash and 'cr' or 'fa', crash and 'fa' or 'cr'
  local charged = call('HINCRBY', job.key, field, 1)
  -- How often it was tried again for this before: crashes that were taken back count here.
  local again = crash and call('HINCRBY', job.key, 'lo', 1) - 1 or charged
  local spent = charged + count(job[other])
  local unknown = kind == 'UNKNOWN' and call('HINCRBY', job.key, 'uk', 1) or 0
  local workers = crash and note_crash(job, outcome)
  local poison = crash and is_poison(job, charged, workers)
  call('HSET', P .. 'x:' .. job.name, 'f', poison and poison_failure(failure, endings, charged, workers) or failure)
  log_attempt(job, outcome, cpu_us, cost, short)
  if kind == 'PERMANENT' or kind == 'DEADLINE' or spent >= p.attempts or unknown >= 2 or poison then
    retire(job, 'F', poison and 'POISON' or outcome == 'LOST' and 'WORKER_LOST' or 'FAILED')
    return 'F'
  end
  local reason = outcome == 'LOST' and 'WORKER_LOST' or 'ATTEMPT_FAILED'
  -- It may have been the machine: another worker is preferred.
  local elsewhere = (kind == 'UNKNOWN' or crash) and has_other(job)
  if again == 0 then
    -- The first retry after a crash waits for no time.
    if elsewhere then avoid(job, NOW + ELSEWHERE_US) end
    change(job, 'Q', reason)
    make_ready(job, tick())
    return 'Q'
  end
  call('HSET', job.key, 'wr', 'BACKOFF')
  change(job, 'W', reason)
  local due = math.max(NOW + backoff(p, again, random), next_slot(job.tenant, endings, p.max))
  call('ZADD', P .. 'due', int(due), job.name)
  if elsewhere then avoid(job, due + ELSEWHERE_US) end
  return 'W'
end

-- What a lease becomes whose holder is gone: leased goes back, running is a crash, cancelling is cancelled.
local function lost(job, endings, random)
  if job.st == 'L' then
    ungrant(job)
    return 'RETURNED'
  end
  if job.st == 'C' then
    bump_token(job)
    cancelled(job, 'CANCEL_TIMEOUT')
    return 'CANCELLED'
  end
  local reason = overrun(job, endings)
  if reason then return reason end
  local to = fail(job, endings, 'CRASH', endings.WORKER_LOST, endings.WORKER_LOST, random, 'LOST')
  bump_token(job)
  return to == 'F' and 'FAILED' or 'LOST'
end

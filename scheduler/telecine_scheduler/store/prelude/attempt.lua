-- An attempt, from its lease to its end, and how a job ends.
local MAX_ATTEMPTS, MAX_RETURNS, MAX_REFUSALS = 10, 20, 3

-- What a worker's answer may take on the way after it should have ended an attempt by itself.
local MARGIN = 15000000
-- Refusals that do not pass within seconds: the job is not offered to that process again for a minute.
local AVOIDED, AVOID_US, ELSEWHERE_US = { UNSUPPORTED = true, UNHEALTHY = true }, 60000000, 10000000

-- d/2 + random * d/2 with d = min(max, initial * 2^(n-1)); the random number (0..1) comes from the scheduler.
local function backoff(p, n, random)
  local delay = math.min(p.max, p.initial * 2 ^ (n - 1))
  return math.floor(delay / 2 + random * delay / 2)
end

-- One process of a worker, short enough for a record.
local function process_of(worker, session) return redis.sha1hex(worker .. ' ' .. session) end

-- Until then dispatch does not offer the job to the process that has, or had, its lease.
local function avoid(job, until_us)
  local session = job.wk and call('HGET', P .. 'w:' .. job.wk, 'ses')
  if session then call('HSET', job.key, 'av', process_of(job.wk, session), 'au', int(until_us)) end
end

-- The part of a header that calls have which may end a job by themselves.
local function read_endings()
  return { grace = number(), WORKER_LOST = arg(), QUEUE_TIMEOUT = arg(), TOTAL_TIMEOUT = arg(), RUN_TIMEOUT = arg() }
end

-- The one place that frees a lease.
local function release(job)
  call('ZREM', P .. 'lease', job.name)
  if job.wk then call('SREM', P .. 'wl:' .. job.wk, job.name) end
  call('HDEL', job.key, 'pb')
end

-- A swept lease's holder is fenced from here on.
local function bump_token(job) call('HSET', job.key, 'tk', int(tick())) end

-- Writes the attempt that just ended into the list of attempts.
local function log_attempt(job, outcome, cpu_us, peak_bytes, failure)
  if not job.sa then return end
  local attempts = P .. 'a:' .. job.name
  call('RPUSH', attempts, table.concat({ job.at, job.wk, job.tk, job.sa, int(NOW), outcome, cpu_us or '0', peak_bytes or '0', failure or '' }, '|'))
  call('LTRIM', attempts, -MAX_ATTEMPTS, -1)
  call('HDEL', job.key, 'sa')
  call('HSET', job.key, 'sp', job.sa)
end

-- The end of a job: S, F or X.
local function retire(job, to, reason)
  local keep = policy(job).keep[to]
  change(job, to, reason)
  call('HSET', job.key, 'et', int(job.rv))
  call('ZADD', P .. 'ret', int(NOW + keep), job.name)
  call('HINCRBY', P .. 'cjobs', job.cl, -1)
  if call('HINCRBY', P .. 'tcl:' .. job.tenant, job.cl, -1) <= 0 then call('HDEL', P .. 'tcl:' .. job.tenant, job.cl) end
end

-- T5: the attempt begins.
local function start(job, ttl)
  job.at = int(count(job.at) + 1)
  change(job, 'R', 'STARTED')
  job.sa = int(job.rv)
  call('HSET', job.key, 'at', job.at, 'sa', job.sa, 'ps', '-1')
  call('HDEL', job.key, 'rf', 'av', 'au')
  call('HDEL', P .. 'x:' .. job.name, 'p')
  call('ZADD', P .. 'lease', 'XX', int(NOW + ttl), job.name)
end

-- T5 by any message that has the token: the accept may have been lost. How long the job had waited when this began its first
-- attempt, in us; else "".
local function begin(job, ttl)
  if job.st ~= 'L' then return '' end
  start(job, ttl)
  job.ps = '-1'
  return job.at == '1' and int(job.rv - tonumber(job.ct)) or ''
end

-- T6: a grant that nobody accepted (refusal is nil), or that was refused. After three refusals in a row it waits a little
-- (random: 0..1).
local function ungrant(job, refusal, random)
  release(job)
  bump_token(job)
  if AVOIDED[refusal] then avoid(job, NOW + AVOID_US) end
  local refusals = count(job.rf) + (refusal and 1 or 0)
  if refusals < MAX_REFUSALS then
    call('HSET', job.key, 'rf', refusals)
    set_state(job, 'Q')
    return give_back(job)
  end
  refund(job)
  call('HDEL', job.key, 'rf')
  call('HSET', job.key, 'wr', 'REFUSED')
  change(job, 'W', 'REFUSED')
  call('ZADD', P .. 'due', int(NOW + 5000000 + random * 10000000), job.name)
end

-- A job that crashes whoever runs it is not tried to the end: three crashes on two workers, or on the only one there is.
local POISON = 3
local function is_poison(job, crashes)
  local first = call('HGET', job.key, 'cw')
  if not first then
    call('HSET', job.key, 'cw', job.wk)
  elseif first ~= job.wk then
    call('HSET', job.key, 'cw', '*')
  end
  if crashes < POISON then return false end
  if first ~= job.wk then return true end
  local others = call('ZCARD', P .. 'workers') - (call('ZSCORE', P .. 'workers', job.wk) and 1 or 0)
  return others == 0
end

-- T9, T10: an attempt failed or its worker was lost. failure is what watchers see, short the same without the log. Charged as
-- kind says: "crash" counts crashes, everything else failures. Returns the state it went to.
local function fail(job, kind, failure, short, random, outcome, cpu_us, peak_bytes)
  local p, field = policy(job), kind == 'CRASH' and 'cr' or 'fa'
  release(job)
  call('HSET', P .. 'x:' .. job.name, 'f', failure)
  local charged = call('HINCRBY', job.key, field, 1)
  local spent = field == 'cr' and charged + count(job.fa) or charged + count(job.cr)
  local unknown = kind == 'UNKNOWN' and call('HINCRBY', job.key, 'uk', 1) or 0
  local poison = kind == 'CRASH' and is_poison(job, charged)
  log_attempt(job, outcome, cpu_us, peak_bytes, short)
  if kind == 'PERMANENT' or kind == 'DEADLINE' or spent >= p.attempts or unknown >= 2 or poison then
    retire(job, 'F', poison and 'POISON' or outcome == 'LOST' and 'WORKER_LOST' or 'FAILED')
    return 'F'
  end
  local reason = outcome == 'LOST' and 'WORKER_LOST' or 'ATTEMPT_FAILED'
  if kind == 'CRASH' and charged == 1 then
    -- The first retry after a crash waits for nothing.
    change(job, 'Q', reason)
    make_ready(job, tick())
    return 'Q'
  end
  call('HSET', job.key, 'wr', 'BACKOFF')
  change(job, 'W', reason)
  local due = NOW + backoff(p, kind == 'CRASH' and charged - 1 or charged, random)
  call('ZADD', P .. 'due', int(due), job.name)
  -- It may have been the machine: another worker is preferred.
  if kind == 'UNKNOWN' or kind == 'CRASH' then avoid(job, due + ELSEWHERE_US) end
  return 'W'
end

-- T14: whatever a cancelling job's worker did or did not say, it is cancelled.
local function cancelled(job, reason, cpu_us, peak_bytes)
  release(job)
  log_attempt(job, 'CANCELLED', cpu_us, peak_bytes)
  retire(job, 'X', reason)
end

-- Takes a job that is not begun out of where it waits.
local function unqueue(job)
  if job.st == 'Q' then return unready(job) end
  if job.st == 'W' then
    call('ZREM', P .. 'due', job.name)
    call('HDEL', job.key, 'wr')
    return
  end
  release(job)
  bump_token(job)
  refund(job)
end

-- T15: a limit ends a job that waits or is granted.
local function time_out(job, reason, endings)
  unqueue(job)
  call('HSET', P .. 'x:' .. job.name, 'f', endings[reason])
  retire(job, 'F', reason)
  return reason
end

-- How long a worker has to end an attempt whose limit is over; after that the store does.
local function slack(job, endings) return (limits(job).grace or endings.grace) + MARGIN end

-- T10, the backstop: ends a running attempt that its worker should have ended. Returns the reason, or nil where no limit is
-- over. An attempt that publishes is left alone as long as its window lasts.
local function overrun(job, endings)
  local ends, after = total_end(job), slack(job, endings)
  local reason
  if ends and NOW >= ends + after then
    reason = 'TOTAL_TIMEOUT'
  elseif NOW >= tonumber(job.sa) + limits(job).hard_run + after then
    reason = 'RUN_TIMEOUT'
  else
    return nil
  end
  release(job)
  call('HSET', P .. 'x:' .. job.name, 'f', endings[reason])
  log_attempt(job, 'FAILED', nil, nil, endings[reason])
  retire(job, 'F', reason)
  bump_token(job)
  return reason
end

-- The same for what a worker asks meanwhile: the answer for an attempt that is over, or nil.
local function overrun_reply(job, endings)
  if job.st ~= 'R' or job.pb then return nil end
  local reason = overrun(job, endings)
  return reason and { 'STALE', reason, int(math.max(0, NOW - tonumber(job.sa))) }
end

-- What a lease becomes whose holder is gone: leased goes back, running is a crash, cancelling is cancelled.
local function lost(job, endings, random)
  if job.st == 'L' then
    ungrant(job, nil, random)
    return 'RETURNED'
  end
  if job.st == 'C' then
    bump_token(job)
    cancelled(job, 'CANCEL_TIMEOUT')
    return 'CANCELLED'
  end
  local reason = overrun(job, endings)
  if reason then return reason end
  local to = fail(job, 'CRASH', endings.WORKER_LOST, endings.WORKER_LOST, random, 'LOST')
  bump_token(job)
  return to == 'F' and 'FAILED' or 'LOST'
end

-- Takes a worker off the list of those that are connected.
local function unlist(worker)
  call('ZREM', P .. 'workers', worker)
  call('UNLINK', P .. 'wo:' .. worker)
end

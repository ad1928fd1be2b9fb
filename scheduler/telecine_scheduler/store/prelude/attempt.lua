-- An attempt, from its lease to its end, and how a job ends.
local MAX_ATTEMPTS, MAX_RETURNS, MAX_REFUSALS = 10, 20, 3
-- How long a job waits at most after its third refusal; twice as long after each further one, up to the second number.
local REFUSED_US, MOST_REFUSED_US = 15000000, 300000000

-- What a worker's answer may take on the way after it should have ended an attempt by itself.
local MARGIN = 15000000

-- d/2 + random * d/2 with d = min(max, initial * 2^(n-1)); the random number (0..1) comes from the scheduler.
local function backoff(p, n, random)
  local delay = math.min(p.max, p.initial * 2 ^ (n - 1))
  return math.floor(delay / 2 + random * delay / 2)
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

-- T6: a grant that nobody accepted, which says nothing of the job.
local function ungrant(job)
  release(job)
  bump_token(job)
  set_state(job, 'Q')
  give_back(job)
end

-- T6: a grant that was refused. From the third refusal on before a start, the job waits a little (random: 0..1).
local function refuse(job, refusal, random)
  if AVOIDED[refusal] then
    avoid(job, NOW + AVOID_US)
    count_refusal(job)
  end
  local refusals = call('HINCRBY', job.key, 'rf', 1)
  if refusals < MAX_REFUSALS then return ungrant(job) end
  release(job)
  bump_token(job)
  refund(job)
  call('HSET', job.key, 'wr', 'REFUSED')
  change(job, 'W', 'REFUSED')
  local longest = math.min(REFUSED_US * 2 ^ (refusals - MAX_REFUSALS), MOST_REFUSED_US)
  call('ZADD', P .. 'due', int(NOW + longest / 3 + random * longest * 2 / 3), job.name)
end

-- A job that crashes whoever runs it is not tried to the end: three crashes on two workers, or three where no other connected
-- worker could run it.
local POISON = 3
local function is_poison(job, crashes)
  local first = call('HGET', job.key, 'cw')
  if not first then
    call('HSET', job.key, 'cw', job.wk)
  elseif first ~= job.wk then
    call('HSET', job.key, 'cw', '*')
  end
  if crashes < POISON then return false end
  return first ~= job.wk or not has_other(job)
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
  -- It may have been the machine: another worker is preferred.
  local elsewhere = (kind == 'UNKNOWN' or kind == 'CRASH') and has_other(job)
  if kind == 'CRASH' and charged == 1 then
    -- The first retry after a crash waits for no time.
    if elsewhere then avoid(job, NOW + ELSEWHERE_US) end
    change(job, 'Q', reason)
    make_ready(job, tick())
    return 'Q'
  end
  call('HSET', job.key, 'wr', 'BACKOFF')
  change(job, 'W', reason)
  local due = NOW + backoff(p, kind == 'CRASH' and charged - 1 or charged, random)
  call('ZADD', P .. 'due', int(due), job.name)
  if elsewhere then avoid(job, due + ELSEWHERE_US) end
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
-- over.
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

-- What a worker's message about its lease comes to: the job where the attempt may go on, else nil and the answer. With endings,
-- a limit that is over ends the attempt here, but not while it publishes.
local function held(name, token, endings)
  local job = load(name)
  if not job or job.tk ~= token then return nil, { 'STALE' } end
  if job.st == 'C' then return nil, { 'CANCEL', own_grace(job) } end
  if job.st ~= 'R' and job.st ~= 'L' then return nil, { 'STALE' } end
  if job.st == 'L' or not endings or publishing(job) then return job end
  local reason = overrun(job, endings)
  if not reason then return job end
  return nil, { 'STALE', reason, int(math.max(0, NOW - tonumber(job.sa))) }
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
  local to = fail(job, 'CRASH', endings.WORKER_LOST, endings.WORKER_LOST, random, 'LOST')
  bump_token(job)
  return to == 'F' and 'FAILED' or 'LOST'
end

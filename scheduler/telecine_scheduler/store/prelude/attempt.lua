-- An attempt, from its lease to its end, and how a job ends.
local MAX_ATTEMPTS = 10

-- What a worker's answer may take on the way after it should have ended an attempt by itself.
local MARGIN = 15000000

-- The part of a header that calls have which may end an attempt: the default cancel grace; encoded Failures, of which that of
-- POISON wants its message; us between two retries of a tenant (0: no limit), and how many may come at once.
local function read_endings()
  return {
    grace = number(), WORKER_LOST = arg(), QUEUE_TIMEOUT = arg(), TOTAL_TIMEOUT = arg(), RUN_TIMEOUT = arg(), POISON = arg(),
    interval = number(), burst = number(),
  }
end

-- The one place that frees a lease.
local function release(job)
  call('ZREM', P .. 'lease', job.name)
  if job.wk then call('SREM', P .. 'wl:' .. job.wk, job.name) end
  call('HDEL', job.key, 'pb')
end

-- A swept lease's holder is fenced from here on.
local function bump_token(job) call('HSET', job.key, 'tk', int(tick())) end

-- Writes the attempt that just ended into the list of attempts, with what it cost: CPU time in us, and the rest (codec.cost), of
-- which the row has the peak of memory. What follows that is kept beside it: a scheduler of a version that does not know it reads
-- the rows still.
local function log_attempt(job, outcome, cpu_us, cost, failure)
  if not job.sa then return end
  local attempts = P .. 'a:' .. job.name
  local peak, rest = string.match(cost or '0', '^(%d+),?(.*)$')
  local row = { job.at, job.wk or '', job.tk, job.sa, int(NOW), outcome, cpu_us or '0', peak, failure or '' }
  call('RPUSH', attempts, table.concat(row, '|'))
  call('LTRIM', attempts, -MAX_ATTEMPTS, -1)
  if rest ~= '' then call('HSET', P .. 'x:' .. job.name, 'k' .. job.at, rest) end
  if count(job.at) > MAX_ATTEMPTS then call('HDEL', P .. 'x:' .. job.name, 'k' .. int(count(job.at) - MAX_ATTEMPTS)) end
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

-- T5, and T18: the attempt begins.
local function start(job, ttl, reason)
  job.at = int(count(job.at) + 1)
  change(job, 'R', reason)
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
  start(job, ttl, 'STARTED')
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

-- T14: whatever a cancelling job's worker did or did not say, it is cancelled.
local function cancelled(job, reason, cpu_us, cost)
  release(job)
  log_attempt(job, 'CANCELLED', cpu_us, cost)
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

-- What a worker's message about its lease comes to: the job where the attempt may go on, else nil and the answer: {"CANCEL", the
-- job's own grace in us or ""}, {"STALE"}, {"FORGIVEN"} or {"ADOPTABLE"} (crashes.lua), or {"STALE", timeout, ran in us}. With endings,
-- a limit that is over ends the attempt here, but not while it publishes.
local function held(name, token, endings)
  local job = load(name)
  if not job then return nil, { 'STALE' } end
  if job.tk ~= token then return nil, { superseded(job, token) } end
  if job.st == 'C' then return nil, { 'CANCEL', own_grace(job) } end
  if job.st ~= 'R' and job.st ~= 'L' then return nil, { 'STALE' } end
  if job.st == 'L' or not endings or publishing(job) then return job end
  local reason = overrun(job, endings)
  if not reason then return job end
  return nil, { 'STALE', reason, int(math.max(0, NOW - tonumber(job.sa))) }
end

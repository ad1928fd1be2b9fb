-- What every script stands on: the clock, the keys, and the few places where a job changes hands.
-- It is put before the body of each verb (store/scripts.py). store/keys.py lists every key and every field.
--
-- KEYS[1] is the partition's prefix, "telecine:{p0}:"; all keys of a partition share its hash slot.
-- Every verb: ARGV[1] is the number of items; the reply is a list with one reply an item, in order. A verb reads and checks
-- an item completely before its first write, because a script is atomic but not rolled back, and may be sent twice.
-- Times are microseconds since 2024-01-01 UTC, exact in a double (2^53 is reached in the year 2309).
local P = KEYS[1]
local call = redis.call
local MAX_CHANGES, MAX_ATTEMPTS, MAX_FEED = 20, 10, 200000
local MAX_RETURNS, MAX_REFUSALS = 20, 3

-- `tostring` and `..` lose digits of large numbers; this does not.
local function int(number) return string.format('%.0f', number) end

-- TIME moves while a script runs on 7.0, so it is read once. test_shift_us exists only in tests.
local time, meta = call('TIME'), call('HMGET', P .. 'meta', 'clock', 'test_shift_us')
local NOW = time[1] * 1000000 + time[2] - 1704067200000000 + tonumber(meta[2] or '0')
local clock, saved_clock = tonumber(meta[1] or '0'), tonumber(meta[1] or '0')

-- The next number of the partition's hybrid clock: sequence, token and revision in one; never repeats, never goes back.
local function tick()
  clock = math.max(clock + 1, NOW)
  return clock
end

-- Every script that may have ticked ends with this.
local function reply(items)
  if clock ~= saved_clock then call('HSET', P .. 'meta', 'clock', int(clock)) end
  return items
end

-- Reads ARGV from front to back.
local position = 0
local function arg()
  position = position + 1
  return ARGV[position]
end
local function number() return tonumber(arg()) end

-- A job is named "<tenant>:<id>" in every key and set; a tenant has no colon.
local function tenant_of(name) return string.sub(name, 1, string.find(name, ':', 1, true) - 1) end
local function id_of(name) return string.sub(name, string.find(name, ':', 1, true) + 1) end

local FIELDS = { 'st', 'rv', 'ct', 'sq', 'pn', 'cl', 'tk', 'wk', 'at', 'sa', 'fa', 'cr', 're', 'rf', 'uk', 'po', 'pb', 'un', 'ps' }

-- The record of a job as a table, or nil. Numbers stay text until they are used.
local function load(name)
  local values = call('HMGET', P .. 'j:' .. name, unpack(FIELDS))
  if not values[1] then return nil end
  local job = { name = name, tenant = tenant_of(name), key = P .. 'j:' .. name }
  for index, field in ipairs(FIELDS) do job[field] = values[index] or nil end
  return job
end

local function count(value) return tonumber(value or '0') end

-- retry and retention policy: "max_attempts|initial_us|max_us|keep_done_us|keep_failed_us"; absent where all are default.
local function policy(job)
  local p = {}
  for value in string.gmatch(job.po or '3|10000000|600000000|86400000000|604800000000', '[^|]+') do p[#p + 1] = tonumber(value) end
  return { attempts = p[1], initial = p[2], max = p[3], keep_done = p[4], keep_failed = p[5] }
end

-- d/2 + random * d/2 with d = min(max, initial * 2^(n-1)); the random number (0..1) comes from the scheduler.
local function backoff(p, n, random)
  local delay = math.min(p.max, p.initial * 2 ^ (n - 1))
  return math.floor(delay / 2 + random * delay / 2)
end

-- Queued means admitted and not running: WAITING, QUEUED, LEASED. Counted per tenant for max_queued.
local QUEUED_STATES = { W = true, Q = true, L = true }

-- The one place that changes a job's state and the counts that depend on it.
local function set_state(job, to)
  local from = job.st
  if from then call('HINCRBY', P .. 'states', from, -1) end
  if to then call('HINCRBY', P .. 'states', to, 1) end
  local before, after = from and QUEUED_STATES[from], to and QUEUED_STATES[to]
  if before and not after and call('HINCRBY', P .. 't:' .. job.tenant, 'q', -1) <= 0 then
    call('HDEL', P .. 't:' .. job.tenant, 'q')
  end
  if after and not before then call('HINCRBY', P .. 't:' .. job.tenant, 'q', 1) end
  job.st = to
  if to then call('HSET', job.key, 'st', to) end
end

-- Gives the job its next revision and tells the feed. extra: further fields of the feed entry.
local function revise(job, extra)
  job.rv = math.max(count(job.rv) + 1, tick())
  clock = math.max(clock, job.rv)
  call('HSET', job.key, 'rv', int(job.rv))
  call('XADD', P .. 'feed', 'MAXLEN', '~', MAX_FEED, '*', 'j', job.name, 'r', int(job.rv), 's', job.st or '-', unpack(extra or {}))
end

-- Moves a job to another visible state and writes that down. A queued job has no list of changes until its second one: the
-- first is known from the record.
local function change(job, to, reason, extra)
  set_state(job, to)
  revise(job, extra)
  local changes = P .. 'h:' .. job.name
  if call('RPUSH', changes, int(job.rv) .. '|' .. to .. '|' .. reason) == 1 then
    local first = call('HGET', job.key, 'nb') and '|W|NOT_BEFORE' or '|Q|SUBMITTED'
    call('LPUSH', changes, job.ct .. first)
  end
  call('LTRIM', changes, -MAX_CHANGES, -1)
end

-- Tells up to two schedulers that said they would serve this class. *self* dispatches by itself in this same round trip, and
-- stays noted: the next submit may be one that it does not dispatch for.
local function wake(class, self)
  for _, scheduler in ipairs(call('ZRANGE', P .. 'idle:' .. class, int(NOW), '+inf', 'BYSCORE', 'LIMIT', 0, 2)) do
    if scheduler ~= self then
      call('ZREM', P .. 'idle:' .. class, scheduler)
      call('LPUSH', P .. 'wake:' .. scheduler, class)
      call('LTRIM', P .. 'wake:' .. scheduler, 0, 255)
      call('PEXPIRE', P .. 'wake:' .. scheduler, 60000)
    end
  end
end

-- The one place that makes a job ready. Its score ages by itself: sequence plus the penalty of its priority.
local function make_ready(job, seq, self)
  local ready = P .. 'rdy:' .. job.cl .. ':' .. job.tenant
  call('HSET', job.key, 'sq', int(seq))
  call('ZADD', ready, int(seq + tonumber(job.pn)), id_of(job.name))
  call('ZADD', P .. 'age:' .. job.cl, int(seq), job.name)
  if call('ZCARD', ready) == 1 then
    -- A tenant that comes back keeps its debt and banks no credit: it starts no earlier than the one last served.
    local v = math.max(count(call('HGET', P .. 'v:' .. job.cl, job.tenant)), count(call('HGET', P .. 'vt', job.cl)))
    call('SADD', P .. 'tc:' .. job.tenant, job.cl)
    call('ZADD', P .. 'fair:' .. job.cl, int(v), job.tenant)
  end
  wake(job.cl, self)
end

-- Takes a ready job out of everything that offers it.
local function unready(job)
  local ready = P .. 'rdy:' .. job.cl .. ':' .. job.tenant
  call('ZREM', ready, id_of(job.name))
  call('ZREM', P .. 'age:' .. job.cl, job.name)
  if call('EXISTS', ready) == 0 then
    call('HSET', P .. 'v:' .. job.cl, job.tenant, int(count(call('ZSCORE', P .. 'fair:' .. job.cl, job.tenant))))
    call('ZREM', P .. 'fair:' .. job.cl, job.tenant)
    call('SREM', P .. 'tc:' .. job.tenant, job.cl)
  end
end

-- The one place that frees a lease.
local function release(job)
  call('ZREM', P .. 'lease', job.name)
  if job.wk then call('SREM', P .. 'wl:' .. job.wk, job.name) end
  call('HDEL', job.key, 'pb')
end

-- A swept lease's holder is fenced from here on.
local function bump_token(job) call('HSET', job.key, 'tk', int(tick())) end

-- What a tenant is served counts in every class where it has ready jobs: a class is not a way to a second share.
local function charge(tenant, units)
  for _, class in ipairs(call('SMEMBERS', P .. 'tc:' .. tenant)) do call('ZINCRBY', P .. 'fair:' .. class, units, tenant) end
end

-- The charge of a grant that came to nothing.
local function refund(job)
  local units = count(job.un or '1')
  charge(job.tenant, -units)
  if call('SISMEMBER', P .. 'tc:' .. job.tenant, job.cl) == 0 then
    call('HINCRBY', P .. 'v:' .. job.cl, job.tenant, -units)
  end
end

-- Back to its old place, its tenant's charge refunded.
local function give_back(job)
  refund(job)
  make_ready(job, tonumber(job.sq))
end

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
  local p = policy(job)
  change(job, to, reason)
  call('HSET', job.key, 'et', int(job.rv))
  call('ZADD', P .. 'ret', int(NOW + (to == 'F' and p.keep_failed or p.keep_done)), job.name)
  call('HINCRBY', P .. 'cjobs', job.cl, -1)
  if call('HINCRBY', P .. 'tcl:' .. job.tenant, job.cl, -1) <= 0 then call('HDEL', P .. 'tcl:' .. job.tenant, job.cl) end
end

-- T5: the attempt begins.
local function start(job, ttl)
  job.at = int(count(job.at) + 1)
  change(job, 'R', 'STARTED')
  job.sa = int(job.rv)
  call('HSET', job.key, 'at', job.at, 'sa', job.sa, 'ps', '-1')
  call('HDEL', job.key, 'rf')
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

-- T6: a grant that nobody accepted, or that was refused. After three refusals in a row it waits a little (random: 0..1).
local function ungrant(job, refused, random)
  release(job)
  bump_token(job)
  local refusals = refused and count(job.rf) + 1 or count(job.rf)
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

-- T9, T10: an attempt failed or its worker was lost. failure is what watchers see, short the same without the log. Charged as
-- kind says: "crash" counts crashes, everything else failures. Returns the state it went to.
local function fail(job, kind, failure, short, random, outcome, cpu_us, peak_bytes)
  local p, field = policy(job), kind == 'CRASH' and 'cr' or 'fa'
  release(job)
  call('HSET', P .. 'x:' .. job.name, 'f', failure)
  local charged = call('HINCRBY', job.key, field, 1)
  local spent = field == 'cr' and charged + count(job.fa) or charged + count(job.cr)
  local unknown = kind == 'UNKNOWN' and call('HINCRBY', job.key, 'uk', 1) or 0
  log_attempt(job, outcome, cpu_us, peak_bytes, short)
  if kind == 'PERMANENT' or kind == 'DEADLINE' or spent >= p.attempts or unknown >= 2 then
    retire(job, 'F', outcome == 'LOST' and 'WORKER_LOST' or 'FAILED')
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
  call('ZADD', P .. 'due', int(NOW + backoff(p, kind == 'CRASH' and charged - 1 or charged, random)), job.name)
  return 'W'
end

-- T14: whatever a cancelling job's worker did or did not say, it is cancelled.
local function cancelled(job, reason, cpu_us, peak_bytes)
  release(job)
  log_attempt(job, 'CANCELLED', cpu_us, peak_bytes)
  retire(job, 'X', reason)
end

-- What a lease becomes whose holder is gone: leased goes back, running is a crash, cancelling is cancelled.
local function lost(job, failure, short, random)
  if job.st == 'L' then
    ungrant(job, false, random)
    return 'RETURNED'
  end
  if job.st == 'C' then
    bump_token(job)
    cancelled(job, 'CANCEL_TIMEOUT')
    return 'CANCELLED'
  end
  local to = fail(job, 'CRASH', failure, short, random, 'LOST')
  bump_token(job)
  return to == 'F' and 'FAILED' or 'LOST'
end

-- A job as an answer: record, spec (where wanted), large values, changes, attempts, due time, purge time.
local function dump(name, full)
  local record = call('HGETALL', P .. 'j:' .. name)
  if #record == 0 then return false end
  return {
    record, full and call('GET', P .. 's:' .. name) or '', call('HGETALL', P .. 'x:' .. name),
    call('LRANGE', P .. 'h:' .. name, 0, -1), call('LRANGE', P .. 'a:' .. name, 0, -1),
    call('ZSCORE', P .. 'due', name) or '', call('ZSCORE', P .. 'ret', name) or '',
  }
end

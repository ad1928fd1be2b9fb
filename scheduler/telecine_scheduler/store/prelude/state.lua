-- Where a job changes its state, and everything that is kept by state: counters, the index of lists, the timer of limits.
local MAX_CHANGES, MAX_FEED = 20, 200000
-- Queued means admitted and not running. Counted per tenant for max_queued.
local QUEUED_STATES = { W = true, Q = true, L = true }

-- LEASED is internal: callers see QUEUED.
local function public(state) return state == 'L' and 'Q' or state end

-- Adds to one of a tenant's counters; those that are 0 are not kept.
local function add(tenant, field, number)
  if call('HINCRBY', P .. 'n:' .. tenant, field, number) <= 0 then call('HDEL', P .. 'n:' .. tenant, field) end
end

-- Counts and indexes by the state that callers see.
local function move_public(job, from, to)
  local queue, index = (job.qu or 'default') .. '|', P .. 'ix:' .. job.tenant .. ':'
  if from then
    add(job.tenant, queue .. from, -1)
    call('ZREM', index .. from, id_of(job.name))
  end
  if to then
    add(job.tenant, queue .. to, 1)
    call('ZADD', index .. to, job.ct, id_of(job.name))
  end
  if recount then correct_recount(job, from, to) end
end

-- Keeps the timer of limits. Before its first start a job's entry is what `arm` wrote, the queue limit among it; from then on
-- only the total limit has one, and nothing that ended or is being cancelled.
local function move_timer(job, from, to)
  if from ~= 'R' and to ~= 'R' and QUEUED_STATES[to] then return end
  local ends = (to == 'R' or QUEUED_STATES[to]) and total_end(job)
  if ends then call('ZADD', P .. 'dl', int(ends), job.name) else call('ZREM', P .. 'dl', job.name) end
end

-- Sets the timer of limits for a generation that begins.
local function arm(job)
  local queue, ends = limits(job).queue, total_end(job)
  local queue_end = queue and limits_begin(job) + queue
  if queue_end and (not ends or queue_end < ends) then ends = queue_end end
  if ends then call('ZADD', P .. 'dl', int(ends), job.name) end
end

-- The one place that changes a job's state and what depends on it.
local function set_state(job, to)
  local from = job.st
  if from then call('HINCRBY', P .. 'states', from, -1) end
  if to then call('HINCRBY', P .. 'states', to, 1) end
  local before, after = from and QUEUED_STATES[from], to and QUEUED_STATES[to]
  if before and not after then add(job.tenant, 'q', -1) end
  if after and not before then add(job.tenant, 'q', 1) end
  if public(from) ~= public(to) then move_public(job, public(from), public(to)) end
  if job.lm and from then move_timer(job, from, to) end
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

-- The keys of the indexes that a job is in by its labels, which are JSON.
local function label_indexes(tenant, labels)
  local keys = {}
  for key, value in pairs(cjson.decode(labels)) do keys[#keys + 1] = P .. 'il:' .. tenant .. ':' .. key .. '=' .. value end
  return keys
end

-- The end of a final job's record (T17).
local function purge(job)
  call('ZREM', P .. 'ret', job.name)
  local labels = call('HGET', P .. 'x:' .. job.name, 'l')
  if labels then
    for _, key in ipairs(label_indexes(job.tenant, labels)) do call('ZREM', key, id_of(job.name)) end
  end
  set_state(job, nil)
  call('UNLINK', job.key, P .. 's:' .. job.name, P .. 'x:' .. job.name, P .. 'h:' .. job.name, P .. 'a:' .. job.name)
  call('XADD', P .. 'feed', 'MAXLEN', '~', MAX_FEED, '*', 'j', job.name, 'r', '0', 's', '-')
end

-- What must be true of a job and of all that names it, and how it is made true again where it is not: for the auditor. Nothing here
-- ever happens while the other scripts are right and Redis loses nothing.

-- How many entries were looked at, and how often what was mended; kinds are those of domain/figures.py.
local looked, repairs = 0, {}
local function mended(kind) repairs[kind] = (repairs[kind] or 0) + 1 end

local TIMERS = { W = 'due', L = 'lease', R = 'lease', C = 'lease', S = 'ret', F = 'ret', X = 'ret' }
local PUBLIC = { 'W', 'Q', 'R', 'C', 'S', 'F', 'X' }

-- The walk finds every tenant that is known; of the others, what they have tells.
local known = {}
local function know(tenant)
  if not known[tenant] then call('ZADD', P .. 'tenants', 0, tenant) end
  known[tenant] = true
end

local function index_of(tenant, state) return P .. 'ix:' .. tenant .. ':' .. state end

-- When a job's limits are looked at; nil where none can end it any more.
local function limits_end(job)
  if not job.lm or not (QUEUED_STATES[job.st] or job.st == 'R') then return nil end
  local ends, queue = total_end(job), limits(job).queue
  local begun = count(job.sa or call('HGET', job.key, 'sp')) >= limits_begin(job)
  if job.st == 'R' or begun or not queue then return ends end
  return math.min(ends or math.huge, limits_begin(job) + queue)
end

-- The timer of its state; and of its limits, where it has any.
local function inspect_timers(job, ttl)
  local timer, ends = TIMERS[job.st], limits_end(job)
  if timer and not call('ZSCORE', P .. timer, job.name) then
    local at = timer == 'lease' and NOW + ttl or timer == 'ret' and NOW + policy(job).keep[job.st] or NOW
    if timer == 'due' and call('HGET', job.key, 'wr') == 'NOT_BEFORE' then at = count(call('HGET', job.key, 'nb')) end
    call('ZADD', P .. timer, int(at), job.name)
    mended('timer')
  end
  if ends and not call('ZSCORE', P .. 'dl', job.name) then
    call('ZADD', P .. 'dl', int(ends), job.name)
    mended('timer')
  end
end

local function inspect_ready(job)
  if job.st ~= 'Q' then return end
  local score = call('ZSCORE', P .. 'rdy:' .. job.cl .. ':' .. job.tenant, id_of(job.name))
  local since, seq = call('ZSCORE', P .. 'age:' .. job.cl, job.name), tonumber(job.sq or tick())
  if tonumber(score or nil) == seq + tonumber(job.pn) and tonumber(since or nil) == seq then return end
  make_ready(job, seq)
  mended('ready')
end

local function inspect_lease_set(job)
  if TIMERS[job.st] ~= 'lease' then return end
  -- Nobody holds a lease whose record names nobody; it runs out.
  if not job.wk then return end
  call('ZADD', P .. 'holders', 0, job.wk)
  if call('SADD', P .. 'wl:' .. job.wk, job.name) == 1 then mended('lease_set') end
end

local function inspect_index(key, job)
  if tonumber(call('ZSCORE', key, id_of(job.name)) or nil) == tonumber(job.ct) then return end
  call('ZADD', key, job.ct, id_of(job.name))
  mended('index')
end

-- All that has to name a job does.
local function inspect(job, ttl)
  inspect_timers(job, ttl)
  inspect_ready(job)
  inspect_lease_set(job)
  inspect_index(index_of(job.tenant, public(job.st)), job)
  local labels = call('HGET', P .. 'x:' .. job.name, 'l')
  for _, key in ipairs(labels and label_indexes(job.tenant, labels) or {}) do inspect_index(key, job) end
end

-- What is left of a job whose record is gone, or names no state.
local function bury(name)
  local tenant, id = tenant_of(name), id_of(name)
  for _, timer in ipairs({ 'due', 'lease', 'ret', 'dl' }) do call('ZREM', P .. timer, name) end
  for _, state in ipairs(PUBLIC) do call('ZREM', index_of(tenant, state), id) end
  local labels = call('HGET', P .. 'x:' .. name, 'l')
  for _, key in ipairs(labels and label_indexes(tenant, labels) or {}) do call('ZREM', key, id) end
  call('UNLINK', P .. 'j:' .. name, P .. 's:' .. name, P .. 'x:' .. name, P .. 'h:' .. name, P .. 'a:' .. name)
  mended('ghost')
end

-- A tenant takes its turn in a class exactly while it has ready jobs there.
local function inspect_place(class, tenant)
  local fair, classes = P .. 'fair:' .. class, P .. 'tc:' .. tenant
  local there, noted = call('ZSCORE', fair, tenant), call('SISMEMBER', classes, class) == 1
  if call('EXISTS', P .. 'rdy:' .. class .. ':' .. tenant) == 0 then
    if not there and not noted then return end
    call('ZREM', fair, tenant)
    call('SREM', classes, class)
    if call('EXISTS', fair) == 0 then call('UNLINK', P .. 'v:' .. class) end
  else
    if there and noted then return end
    if not there then
      call('ZADD', fair, int(math.max(count(call('ZSCORE', P .. 'v:' .. class, tenant)), floor_of(class))), tenant)
      wake(class)
    end
    call('SADD', classes, class)
  end
  mended('turn')
end

#!lua flags=allow-oom
-- Lease ready jobs to workers (T4). Where a worker could take more than there is, its scheduler is noted as idle in the same
-- step, so that no submit falls in between.
--
-- Header   scheduler; accept window in us; how long the note holds in us
-- Item     worker; session; epoch; free units; most grants; number of classes; then for each: class id; its units
-- Reply    {"FENCED"} | {"OK", grant...} with grant = {name, token, attempt, generation,
--          units, spec, what is left of the total limit in us or "", the job's own cancel grace in us or ""}
local n = number()
local scheduler, window, hold = arg(), number(), number()

-- A job may have to avoid the worker that asks: it is passed over. So many are, in one tenant's class and in all, before the
-- rest counts as empty for this worker; a worker that refuses everything then costs nobody but itself.
local MAX_DEPTH, MAX_PASSED = 8, 64

-- What this worker has passed over: how many jobs of a tenant's class, which tenants are done with in a class, and how many.
local function new_passing() return { depth = {}, done = {}, closed = {}, total = 0 } end

local function slot(class, tenant) return class.id .. ':' .. tenant end

local function close(class, tenant, passing)
  passing.done[slot(class, tenant)] = true
  passing.closed[class.id] = (passing.closed[class.id] or 0) + 1
end

-- The first tenant of a class that is not done with, and its virtual time.
local function first_tenant(class, passing)
  local heads = call('ZRANGE', P .. 'fair:' .. class.id, 0, passing.closed[class.id] or 0, 'WITHSCORES')
  for i = 1, #heads, 2 do
    if not passing.done[slot(class, heads[i])] then return heads[i], tonumber(heads[i + 1]) end
  end
end

-- The tenant with the least virtual time over the classes; nil when nothing is ready. Each class counts from a floor of its
-- own (where the one last served began), because tenants compete within a class.
local function least_served(classes, passing)
  local tenant, ahead, class, v
  for _, each in ipairs(classes) do
    local first, virtual = first_tenant(each, passing)
    if first then
      local lead = virtual - count(call('HGET', P .. 'vt', each.id))
      if not ahead or lead < ahead then tenant, ahead, class, v = first, lead, each.id, virtual end
    end
  end
  return tenant, class, v
end

-- Of that tenant's heads in the classes, the one with the lowest score. Besides, whether a class turned out to be done with.
local function best_job(tenant, classes, passing)
  local id, class, score, closed
  for _, each in ipairs(classes) do
    local place = slot(each, tenant)
    if not passing.done[place] then
      local depth = passing.depth[place] or 0
      local head = call('ZRANGE', P .. 'rdy:' .. each.id .. ':' .. tenant, depth, depth, 'WITHSCORES')
      if head[1] and (not score or tonumber(head[2]) < score) then id, class, score = head[1], each, tonumber(head[2]) end
      if not head[1] and depth > 0 then
        close(each, tenant, passing)
        closed = true
      end
    end
  end
  return id, class, closed
end

local function avoids(job, worker, session)
  return job.av and NOW < tonumber(job.au) and job.av == process_of(worker, session)
end

-- The next job of that class is looked at instead.
local function pass(class, tenant, passing)
  local place = slot(class, tenant)
  passing.depth[place] = (passing.depth[place] or 0) + 1
  passing.total = passing.total + 1
  if passing.depth[place] >= MAX_DEPTH then close(class, tenant, passing) end
end

local function grant(worker, job)
  local token = int(tick())
  unready(job)
  set_state(job, 'L')
  call('HSET', job.key, 'tk', token, 'wk', worker)
  call('ZADD', P .. 'lease', int(NOW + window), job.name)
  call('SADD', P .. 'wl:' .. worker, job.name)
  local ends = total_end(job)
  return {
    job.name, token, int(count(job.at) + 1), job.gn or '1', job.un or '1', call('GET', P .. 's:' .. job.name),
    ends and int(math.max(0, ends - NOW)) or '', own_grace(job),
  }
end

-- What should be impossible (an index that names no ready job) is taken out, so that it stops nobody.
local function repair(tenant, id, class, fair_class)
  if id then return unready({ name = tenant .. ':' .. id, tenant = tenant, cl = class.id }) end
  call('ZREM', P .. 'fair:' .. fair_class, tenant)
end

local function note_idle(classes)
  for _, class in ipairs(classes) do
    call('ZREMRANGEBYSCORE', P .. 'idle:' .. class.id, '-inf', int(NOW))
    call('ZADD', P .. 'idle:' .. class.id, int(NOW + hold), scheduler)
  end
end

local function dispatch(worker, session, epoch, free, most, classes)
  local owner = call('HMGET', P .. 'w:' .. worker, 'ses', 'ep', 'up')
  if owner[1] ~= session or owner[2] ~= epoch or owner[3] ~= '1' then return { 'FENCED' } end
  local out, passing = { 'OK' }, new_passing()
  while free > 0 and #out <= most do
    local tenant, floor_class, v = least_served(classes, passing)
    if not tenant or passing.total > MAX_PASSED then
      note_idle(classes)
      return out
    end
    local id, class, closed = best_job(tenant, classes, passing)
    local job = id and load(tenant .. ':' .. id)
    if job and job.st == 'Q' then
      if avoids(job, worker, session) then
        pass(class, tenant, passing)
      -- A job that needs more room than is free just now is waited for: smaller ones behind it must not starve it.
      elseif class.units > free then
        return out
      else
        call('HSET', P .. 'vt', floor_class, int(math.max(v, count(call('HGET', P .. 'vt', floor_class)))))
        charge(tenant, class.units)
        out[#out + 1] = grant(worker, job)
        free = free - class.units
      end
    elseif id or not closed then
      repair(tenant, id, class, floor_class)
    end
  end
  return out
end

local replies = {}
for i = 1, n do
  local worker, session, epoch, free, most, classes = arg(), arg(), arg(), number(), number(), {}
  for c = 1, number() do classes[c] = { id = arg(), units = number() } end
  replies[i] = dispatch(worker, session, epoch, free, most, classes)
end
return reply(replies)

#!lua flags=allow-oom
-- Lease ready jobs to workers (T4). Where a worker could take more than there is, its scheduler is noted as idle in the same
-- step, so that no submit falls in between.
--
-- Header   scheduler; accept window in us; how long the note holds in us
-- Item     worker; session; epoch; free units; most grants; number of classes; then for each: class id; its units
-- Reply    {"FENCED"} | {"OK", grant...} with grant = {name, token, attempt, generation, units, spec}
local n = number()
local scheduler, window, hold = arg(), number(), number()

-- The tenant with the least virtual time over the classes; nil when nothing is ready. Each class counts from a floor of its
-- own (where the one last served began), because tenants compete within a class.
local function least_served(classes)
  local tenant, ahead, class, v
  for _, each in ipairs(classes) do
    local head = call('ZRANGE', P .. 'fair:' .. each.id, 0, 0, 'WITHSCORES')
    if head[1] then
      local lead = tonumber(head[2]) - count(call('HGET', P .. 'vt', each.id))
      if not ahead or lead < ahead then tenant, ahead, class, v = head[1], lead, each.id, tonumber(head[2]) end
    end
  end
  return tenant, class, v
end

-- Of that tenant's heads in the classes, the one with the lowest score.
local function best_job(tenant, classes)
  local id, class, score
  for _, each in ipairs(classes) do
    local head = call('ZRANGE', P .. 'rdy:' .. each.id .. ':' .. tenant, 0, 0, 'WITHSCORES')
    if head[1] and (not score or tonumber(head[2]) < score) then id, class, score = head[1], each, tonumber(head[2]) end
  end
  return id, class
end

local function grant(worker, job)
  local token = int(tick())
  unready(job)
  set_state(job, 'L')
  call('HSET', job.key, 'tk', token, 'wk', worker)
  call('ZADD', P .. 'lease', int(NOW + window), job.name)
  call('SADD', P .. 'wl:' .. worker, job.name)
  local generation = call('HGET', job.key, 'gn') or '1'
  return { job.name, token, int(count(job.at) + 1), generation, job.un or '1', call('GET', P .. 's:' .. job.name) }
end

-- What should be impossible (an index that names no ready job) is taken out, so that it stops nobody.
local function repair(tenant, id, class, classes)
  if id then return unready({ name = tenant .. ':' .. id, tenant = tenant, cl = class.id }) end
  for _, each in ipairs(classes) do call('ZREM', P .. 'fair:' .. each.id, tenant) end
end

local function dispatch(worker, session, epoch, free, most, classes)
  local owner = call('HMGET', P .. 'w:' .. worker, 'ses', 'ep', 'up')
  if owner[1] ~= session or owner[2] ~= epoch or owner[3] ~= '1' then return { 'FENCED' } end
  local out = { 'OK' }
  while free > 0 and #out <= most do
    local tenant, floor_class, v = least_served(classes)
    if not tenant then
      for _, class in ipairs(classes) do
        call('ZREMRANGEBYSCORE', P .. 'idle:' .. class.id, '-inf', int(NOW))
        call('ZADD', P .. 'idle:' .. class.id, int(NOW + hold), scheduler)
      end
      return out
    end
    local id, class = best_job(tenant, classes)
    -- A job that needs more room than is free just now is waited for: smaller ones behind it must not starve it.
    if class and class.units > free then return out end
    local job = id and load(tenant .. ':' .. id)
    if job and job.st == 'Q' then
      call('HSET', P .. 'vt', floor_class, int(math.max(v, count(call('HGET', P .. 'vt', floor_class)))))
      charge(tenant, class.units)
      out[#out + 1] = grant(worker, job)
      free = free - class.units
    else
      repair(tenant, id, class, classes)
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

#!lua flags=allow-oom
-- Lease ready jobs to workers (T4). Where a worker could take more than there is, its scheduler is noted as idle in the same
-- step, so that no submit falls in between.
--
-- Header   scheduler; accept window in us; how long the note holds in us
-- Item     worker; session; epoch; free units; most grants; number of classes; then for each: class id; its units
-- Reply    {"FENCED"} | {"OK" | "WAITS", grant...} with grant = {name, token, attempt, generation,
--          units, spec, what is left of the total limit in us or "", the job's own cancel grace in us or ""};
--          "WAITS": the next job needs more room than is left, and is waited for
local n = number()
local scheduler, window, hold = arg(), number(), number()

-- A job may have to avoid the worker that asks: it is passed over. So many are, in one tenant's class and in all, before the
-- rest counts as empty for this look. A look that ends by that shuts what it is done with, so that the next one gets further.
local MAX_DEPTH, MAX_PASSED = 8, 64

-- What all items know of the classes and tenants: read once, and kept true by what is written here.
local floors, firsts, places, noted = {}, {}, {}, {}

-- The floors of these classes: where the tenant that each served last began.
local function read_floors(ids)
  local missing = {}
  for _, id in ipairs(ids) do
    if not floors[id] then missing[#missing + 1] = id end
  end
  if not missing[1] then return end
  for i, floor in ipairs(call('HMGET', P .. 'vt', unpack(missing))) do floors[missing[i]] = count(floor) end
end

local function raise_floor(id, v)
  if v <= floors[id] then return end
  floors[id] = v
  call('HSET', P .. 'vt', id, int(v))
end

-- The first tenant of a class, and what comes next; false where there is none.
local function first_of(id)
  if firsts[id] == nil then
    local found = call('ZRANGE', P .. 'fair:' .. id, 0, 1, 'WITHSCORES')
    firsts[id] = found[1] and { tenant = found[1], v = tonumber(found[2]), next_v = tonumber(found[4]) } or false
  end
  return firsts[id]
end

-- The classes where a tenant has ready jobs.
local function classes_with(tenant)
  if not places[tenant] then places[tenant] = call('SMEMBERS', P .. 'tc:' .. tenant) end
  return places[tenant]
end

-- One worker's look at what is ready: which classes it serves and have anything, which places (a tenant's class) are closed to
-- it and how many that are by class, and how often it passed a job over.
local function new_look(process, classes, shut_until)
  local look = { process = process, classes = {}, units = {}, heads = {}, firsts = {}, closed = {}, closed_in = {}, ends = {}, passed = 0 }
  local ids = {}
  for _, class in ipairs(classes) do
    if first_of(class.id) then
      look.classes[#look.classes + 1] = class
      ids[#ids + 1] = class.id
      look.units[class.id] = class.units
    end
  end
  read_floors(ids)
  if NOW >= shut_until or not ids[1] then return look end
  for _, place in ipairs(call('ZRANGE', P .. 'shut:' .. process, '(' .. int(NOW), '+inf', 'BYSCORE')) do
    local id = string.match(place, '^[^:]*')
    look.closed[place], look.closed_in[id] = true, (look.closed_in[id] or 0) + 1
  end
  return look
end

-- Nothing more is looked for there. until_us: when the jobs that were passed over may be offered again.
local function close(look, id, tenant, until_us)
  local place = place_of(id, tenant)
  look.closed[place], look.closed_in[id] = true, (look.closed_in[id] or 0) + 1
  look.firsts[id], look.ends[place] = nil, until_us
end

-- The first tenant of a class that is not closed to the worker.
local function first_open(look, id)
  local closed = look.closed_in[id]
  if not closed then return first_of(id) end
  if look.firsts[id] == nil then
    look.firsts[id] = false
    local heads = call('ZRANGE', P .. 'fair:' .. id, 0, closed, 'WITHSCORES')
    for i = 1, #heads, 2 do
      if not look.closed[place_of(id, heads[i])] then
        look.firsts[id] = { tenant = heads[i], v = tonumber(heads[i + 1]) }
        break
      end
    end
  end
  return look.firsts[id]
end

-- The tenant with the least virtual time over the classes, and the class it was found in; nil when nothing is ready. Each class
-- counts from a floor of its own, because tenants compete within a class.
local function least_served(look)
  local found, ahead, id
  for _, class in ipairs(look.classes) do
    local first = first_open(look, class.id)
    if first then
      local lead = first.v - floors[class.id]
      if not ahead or lead < ahead then found, ahead, id = first, lead, class.id end
    end
  end
  if found then return found.tenant, id, found.v end
end

-- Where that tenant has something for the worker: class, and how deep it was looked into it so far.
local function heads_of(look, tenant)
  if not look.heads[tenant] then
    local heads = {}
    for _, id in ipairs(classes_with(tenant)) do
      if look.units[id] and not look.closed[place_of(id, tenant)] then
        heads[#heads + 1] = { class = id, units = look.units[id], depth = 0 }
      end
    end
    look.heads[tenant] = heads
  end
  return look.heads[tenant]
end

-- Of that tenant's heads in the classes, the one with the lowest score. Besides, whether a class turned out to be done with.
local function best_head(look, tenant)
  local best, closed
  for _, head in ipairs(heads_of(look, tenant)) do
    if not head.done and not head.id then
      local found = call('ZRANGE', P .. 'rdy:' .. head.class .. ':' .. tenant, head.depth, head.depth, 'WITHSCORES')
      head.id, head.score = found[1], tonumber(found[2])
      if not head.id and head.depth > 0 then
        head.done, closed = true, true
        close(look, head.class, tenant, head.ends)
      end
    end
    if head.id and (not best or head.score < best.score) then best = head end
  end
  return best, closed
end

local function avoids(job, process) return job.av == process and NOW < tonumber(job.au) end

-- The next job of that class is looked at instead.
local function pass(look, tenant, head, job)
  look.passed = look.passed + 1
  head.id, head.depth = nil, head.depth + 1
  head.ends = math.min(head.ends or tonumber(job.au), tonumber(job.au))
  if head.depth >= MAX_DEPTH then
    head.done = true
    close(look, head.class, tenant, head.ends)
  end
end

-- What a tenant is served counts in every class where it has ready jobs: a class is not a way to a second share. It counts from
-- the floor where the tenant is behind it, because others were served whom its jobs did not avoid: that is no credit.
local function charge(look, tenant, units)
  local ids = classes_with(tenant)
  read_floors(ids)
  for _, id in ipairs(ids) do
    local fair = P .. 'fair:' .. id
    local v, least = tonumber(call('ZINCRBY', fair, units, tenant)), floors[id] + units
    if v < least then
      v = least
      call('ZADD', fair, 'XX', int(v), tenant)
    end
    local first = firsts[id]
    if first and first.tenant == tenant then
      if first.next_v and v >= first.next_v then firsts[id] = nil else first.v = v end
    end
    look.firsts[id] = nil
  end
end

-- Forgets what was known of a tenant's class that it has nothing ready in any more.
local function forget(look, tenant, id) firsts[id], places[tenant], look.firsts[id] = nil, nil, nil end

local function grant(look, worker, job, head)
  charge(look, job.tenant, head.units)
  local token = int(tick())
  head.id, head.done = nil, unready(job)
  if head.done then forget(look, job.tenant, job.cl) end
  set_state(job, 'L')
  call('HSET', job.key, 'tk', token, 'wk', worker, 'pr', look.process)
  call('ZADD', P .. 'lease', int(NOW + window), job.name)
  call('SADD', P .. 'wl:' .. worker, job.name)
  local ends = total_end(job)
  return {
    job.name, token, int(count(job.at) + 1), job.gn or '1', job.un or '1', call('GET', P .. 's:' .. job.name),
    ends and int(math.max(0, ends - NOW)) or '', own_grace(job),
  }
end

-- What should be impossible (an index that names no ready job) is taken out, so that it stops nobody.
local function repair(look, tenant, head, id)
  if head then
    id = head.class
    local last = unready({ name = tenant .. ':' .. head.id, tenant = tenant, cl = id })
    head.id, head.done = nil, last
  else
    call('ZREM', P .. 'fair:' .. id, tenant)
  end
  forget(look, tenant, id)
end

-- Not of classes that made room for others: whoever asks may not have heard of that yet.
local function note_idle(classes)
  local ids = {}
  for _, class in ipairs(classes) do
    if not noted[class.id] then ids[#ids + 1] = class.id end
    noted[class.id] = true
  end
  if not ids[1] then return end
  for i, text in ipairs(call('HMGET', P .. 'classes', unpack(ids))) do
    if text then
      call('ZREMRANGEBYSCORE', P .. 'idle:' .. ids[i], '-inf', int(NOW))
      call('ZADD', P .. 'idle:' .. ids[i], int(NOW + hold), scheduler)
    end
  end
end

-- The next grant, whether the look is over, and whether for want of anything that the worker could take.
local function next_grant(look, worker, free)
  local tenant, id, v = least_served(look)
  if not tenant or look.passed > MAX_PASSED then return nil, true, true end
  local head, closed = best_head(look, tenant)
  local job = head and load(tenant .. ':' .. head.id)
  if not job or job.st ~= 'Q' then
    if head or not closed then repair(look, tenant, head, id) end
    return nil
  end
  if avoids(job, look.process) then
    pass(look, tenant, head, job)
    return nil
  end
  -- A job that needs more room than is free just now is waited for: smaller ones behind it must not starve it.
  if head.units > free then return nil, true end
  raise_floor(id, v)
  return grant(look, worker, job, head), false, false, head.units
end

local function dispatch(worker, session, epoch, free, most, classes)
  local owner = call('HMGET', P .. 'w:' .. worker, 'ses', 'ep', 'up', 'su')
  if owner[1] ~= session or owner[2] ~= epoch or owner[3] ~= '1' then return { 'FENCED' } end
  local out, look = { 'OK' }, new_look(process_of(worker, session), classes, count(owner[4]))
  while free > 0 and #out <= most do
    local granted, over, empty, units = next_grant(look, worker, free)
    if granted then
      out[#out + 1], free = granted, free - units
    elseif over then
      if empty then note_idle(classes) else out[1] = 'WAITS' end
      if look.passed > MAX_PASSED then shut(worker, look.process, look.ends) end
      return out
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

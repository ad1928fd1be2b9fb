#!lua flags=allow-oom
-- A step of the walk over everything that is kept, which finds and mends what should be impossible. One scheduler walks at a time;
-- a pass is over the timers, the workers' sets, the classes, and the tenants by state, and ends with the counters over all.
--
-- Header   scheduler; lease TTL in us; how long the others leave the walk to it in us; how long no pass begins after one in us
-- Item     most entries (it may be twice as many); where to go on: stage, key, part, cursor (all "": at the beginning)
-- Reply    {"WAIT"}: it is not this scheduler's turn | {"ON" | "DONE", where to go on: stage, key, part, cursor; entries looked at;
--          jobs that there are; entries that could not be handled; what was wrong with the last of them, or what was left out where
--          there are none, or ""; {kind, number...}}
local n = number()
local scheduler, ttl, hold, rest = arg(), number(), number(), number()

local STAGES = { 'lease', 'due', 'ret', 'dl', 'holder', 'class', 'tenant', 'totals' }
local broken, wrong

-- An entry that cannot be handled must not stop the others.
local function safely(act, ...)
  local fine, what = pcall(act, ...)
  if fine then return what end
  broken, wrong = broken + 1, type(what) == 'table' and what.err or what
end

-- Looks at an entry that names a job, and takes it out, by `out`, where it is not the job's; counted as kind. Where it is
-- (`fits` says so of state, class and worker), and the job is in the index of its state, the rest is looked at there.
local function examine(name, fits, out, kind)
  local found, tenant = call('HMGET', P .. 'j:' .. name, 'st', 'cl', 'wk'), tenant_of(name)
  local st = found[1]
  if not st then
    out()
    return bury(name)
  end
  know(tenant)
  local fitting = fits(st, found[2], found[3])
  if fitting and call('ZSCORE', index_of(tenant, public(st)), id_of(name)) then return end
  inspect(load(name), ttl)
  if fitting then return end
  out()
  mended(kind)
end

-- A page of a set or sorted set: calls act with each member; the next cursor, nil at the end.
local function page(scan, key, cursor, most, act)
  local found = call(scan, key, cursor == '' and '0' or cursor, 'COUNT', most)
  for i = 1, #found[2], scan == 'ZSCAN' and 2 or 1 do
    looked = looked + 1
    safely(act, found[2][i])
  end
  return found[1] ~= '0' and found[1] or nil
end

-- What follows a member in a registry, which is a sorted set of equal scores; nil at its end.
local function next_of(registry, after)
  return call('ZRANGE', P .. registry, after == '' and '-' or '(' .. after, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
end

local function next_number(numbers, after)
  local found
  for _, each in ipairs(numbers) do
    local number = tonumber(each)
    if number > (tonumber(after) or -1) and (not found or number < found) then found = number end
  end
  return found and int(found)
end

local function timer(stage, cursor, most)
  local function fits(st) return TIMERS[st] == stage or stage == 'dl' and (QUEUED_STATES[st] or st == 'R') end
  return page('ZSCAN', P .. stage, cursor, most, function(name)
    examine(name, fits, function() call('ZREM', P .. stage, name) end, 'stray')
  end)
end

local function holder(worker, cursor, most)
  local set = P .. 'wl:' .. worker
  local following = page('SSCAN', set, cursor, most, function(name)
    local function fits(st, _, wk) return TIMERS[st] == 'lease' and wk == worker end
    examine(name, fits, function() call('SREM', set, name) end, 'lease_set')
  end)
  if not following and call('EXISTS', set, P .. 'w:' .. worker) == 0 then call('ZREM', P .. 'holders', worker) end
  return following
end

-- The ages of a class, and who takes turns in it.
local function class_part(class, part, cursor, most)
  if part == 'turns' then
    return page('ZSCAN', P .. 'fair:' .. class, cursor, most, function(tenant) inspect_place(class, tenant) end)
  end
  local age = P .. 'age:' .. class
  local function fits(st, cl) return st == 'Q' and cl == class end
  return page('ZSCAN', age, cursor, most, function(name)
    examine(name, fits, function() call('ZREM', age, name) end, 'stray')
  end)
end

local function ready_of(tenant, class, cursor, most)
  local function fits(st, cl) return st == 'Q' and cl == class end
  local following = page('ZSCAN', P .. 'rdy:' .. class .. ':' .. tenant, cursor, most, function(id)
    local name = tenant .. ':' .. id
    examine(name, fits, function() unready({ name = name, tenant = tenant, cl = class }) end, 'stray')
  end)
  if not following then safely(inspect_place, class, tenant) end
  return following
end

local function indexed(tenant, state, cursor, most)
  local key = index_of(tenant, state)
  return page('ZSCAN', key, cursor, most, function(id)
    local name = tenant .. ':' .. id
    local job = load(name)
    if job then inspect(job, ttl) else bury(name) end
    if not job or public(job.st) == state then return end
    call('ZREM', key, id)
    mended('index')
  end)
end

-- A tenant's parts: its states, its classes by number, and at last its counters.
local function tenant_part(tenant, part, cursor, most)
  if tonumber(part) then return ready_of(tenant, part, cursor, most) end
  if part == 'counters' then return safely(inspect_tenant, tenant, cursor, most) end
  return indexed(tenant, part, cursor, most)
end

local function next_part(tenant, part)
  for i, state in ipairs(PUBLIC) do
    if part == state and PUBLIC[i + 1] then return PUBLIC[i + 1] end
  end
  if part == 'counters' then return nil end
  return next_number(call('HKEYS', P .. 'tcl:' .. tenant), part) or 'counters'
end

-- What is under a stage: its first key and part, and those after these. No key: the stage is over.
local function first_under(stage, after)
  if stage == 'holder' then return next_of('holders', after), '' end
  if stage == 'class' then return next_number(call('HKEYS', P .. 'classes'), after), 'ages' end
  if stage == 'tenant' then return next_of('tenants', after), PUBLIC[1] end
  if after == '' then return 'all', '' end
end

local function part_after(stage, key, part)
  if stage == 'class' and part == 'ages' then return 'turns' end
  return stage == 'tenant' and next_part(key, part) or nil
end

-- The counters over all are compared with the indexes that were looked at before; where some of those could not be, they stand.
local function look_at_totals()
  if broken > 0 or call('HEXISTS', P .. 'meta', 'unaudited') == 1 then return end
  wrong = inspect_totals() or wrong
end

local function look(at, most)
  if at.stage == 'holder' then return holder(at.key, at.cursor, most) end
  if at.stage == 'class' then return class_part(at.key, at.part, at.cursor, most) end
  if at.stage == 'tenant' then return tenant_part(at.key, at.part, at.cursor, most) end
  if at.stage == 'totals' then return safely(look_at_totals) end
  return timer(at.stage, at.cursor, most)
end

-- Moves on to what comes next; false where the pass is over.
local function advance(at)
  at.cursor = ''
  local part = at.key ~= '' and part_after(at.stage, at.key, at.part)
  if part then
    at.part = part
    return true
  end
  local stage, after = 1, at.key
  for i, each in ipairs(STAGES) do
    if each == at.stage then stage = i end
  end
  while STAGES[stage] do
    at.stage = STAGES[stage]
    at.key, at.part = first_under(at.stage, after)
    if at.key then return true end
    stage, after = stage + 1, ''
  end
  return false
end

-- Whether this scheduler may walk now; it may go on where it is walking.
local function claim(begins)
  local held = call('HMGET', P .. 'meta', 'auditor', 'auditor_until', 'audited')
  if held[1] and held[1] ~= scheduler and NOW < count(held[2]) then return false end
  if begins and held[3] and NOW < count(held[3]) + rest then return false end
  call('HSET', P .. 'meta', 'auditor', scheduler, 'auditor_until', int(NOW + hold))
  return true
end

local function flat(counts)
  local out = {}
  for kind, number in pairs(counts) do out[#out + 1], out[#out + 2] = kind, number end
  return out
end

local function audit(most, at)
  local on = at.stage ~= ''
  if not claim(not on) then return { 'WAIT' } end
  looked, broken, wrong, repairs = 0, 0, '', {}
  local steps = 0
  if not on then
    call('HDEL', P .. 'meta', 'recount', 'unaudited')
    call('UNLINK', P .. 'recount')
    on = advance(at)
  end
  while on and looked + steps < most do
    at.cursor, steps = look(at, most), steps + 1
    if not at.cursor then on = advance(at) end
  end
  if broken > 0 then call('HINCRBY', P .. 'meta', 'unaudited', broken) end
  if not on then
    call('HDEL', P .. 'meta', 'auditor', 'auditor_until')
    call('HSET', P .. 'meta', 'audited', int(NOW))
  end
  local jobs = 0
  for _, each in ipairs(call('HVALS', P .. 'states')) do jobs = jobs + tonumber(each) end
  return { on and 'ON' or 'DONE', at.stage, at.key or '', at.part or '', at.cursor or '', looked, jobs, broken, wrong, flat(repairs) }
end

local replies = {}
for i = 1, n do replies[i] = audit(number(), { stage = arg(), key = arg(), part = arg(), cursor = arg() }) end
return reply(replies)

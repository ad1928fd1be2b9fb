#!lua
-- Admit jobs (T1, T2).
--
-- Header   scheduler that asks; "1" when it dispatches by itself right after; max_queued in all; max_queued a tenant (0: no limit);
--          most classes in all; most classes a tenant
-- Item     name; class ("queue|units|requirement,..."); penalty in us; units; digest of the spec; policy or ""; not before (us) or 0;
--          spec
-- Reply    {"CREATED", dump} | {"EXISTS", dump with spec} (an equal or another spec: the caller compares) |
--          {"QUEUE_FULL", limit} | {"TENANT_FULL", limit} | {"CLASS_LIMIT", limit}
local n = number()
local scheduler, dispatches = arg(), arg() == '1'
local max_all, max_tenant, max_classes, max_tenant_classes = number(), number(), number(), number()

-- Classes nobody has unfinished jobs in make room only when there is none left.
local function free_classes()
  local counts = call('HGETALL', P .. 'cjobs')
  for i = 1, #counts, 2 do
    local class = counts[i]
    if tonumber(counts[i + 1]) <= 0 then
      call('HDEL', P .. 'class_ids', call('HGET', P .. 'classes', class))
      call('HDEL', P .. 'classes', class)
      call('HDEL', P .. 'cjobs', class)
      call('HDEL', P .. 'vt', class)
      call('UNLINK', P .. 'idle:' .. class, P .. 'v:' .. class)
    end
  end
end

-- The class's id, or nil and how many there may be.
local function class_of(text, tenant)
  local class = call('HGET', P .. 'class_ids', text)
  if not class or call('HEXISTS', P .. 'tcl:' .. tenant, class) == 0 then
    if call('HLEN', P .. 'tcl:' .. tenant) >= max_tenant_classes then return nil, max_tenant_classes end
  end
  if class then return class end
  if call('HLEN', P .. 'classes') >= max_classes then free_classes() end
  if call('HLEN', P .. 'classes') >= max_classes then return nil, max_classes end
  class = int(call('HINCRBY', P .. 'meta', 'classes', 1))
  call('HSET', P .. 'class_ids', text, class)
  call('HSET', P .. 'classes', class, text)
  -- Nobody can have said yet that they serve it: tell every scheduler that lives.
  for _, each in ipairs(call('ZRANGE', P .. 'schedulers', int(NOW), '+inf', 'BYSCORE', 'LIMIT', 0, 100)) do
    call('LPUSH', P .. 'wake:' .. each, class)
    call('PEXPIRE', P .. 'wake:' .. each, 60000)
  end
  return class
end

local function submit(name, class_text, penalty, units, digest, policy_text, not_before, spec)
  if call('EXISTS', P .. 'j:' .. name) == 1 then return { 'EXISTS', dump(name, true) } end
  local tenant = tenant_of(name)
  if max_all > 0 then
    local states = call('HMGET', P .. 'states', 'W', 'Q', 'L')
    if count(states[1]) + count(states[2]) + count(states[3]) >= max_all then return { 'QUEUE_FULL', int(max_all) } end
  end
  if max_tenant > 0 and count(call('HGET', P .. 't:' .. tenant, 'q')) >= max_tenant then return { 'TENANT_FULL', int(max_tenant) } end
  local class, limit = class_of(class_text, tenant)
  if not class then return { 'CLASS_LIMIT', int(limit) } end

  local seq = tick()
  local job = { name = name, tenant = tenant, key = P .. 'j:' .. name, cl = class, pn = penalty, ct = int(seq), rv = seq }
  call('SET', P .. 's:' .. name, spec)
  call('HSET', job.key, 'ct', job.ct, 'rv', job.ct, 'pn', penalty, 'cl', class, 'dg', digest)
  if units ~= '1' then call('HSET', job.key, 'un', units) end
  if policy_text ~= '' then call('HSET', job.key, 'po', policy_text) end
  call('HINCRBY', P .. 'cjobs', class, 1)
  call('HINCRBY', P .. 'tcl:' .. tenant, class, 1)
  if not_before > NOW then
    call('HSET', job.key, 'nb', int(not_before), 'wr', 'NOT_BEFORE')
    set_state(job, 'W')
    call('ZADD', P .. 'due', int(not_before), name)
  else
    set_state(job, 'Q')
    make_ready(job, seq, dispatches and scheduler or nil)
  end
  call('XADD', P .. 'feed', 'MAXLEN', '~', MAX_FEED, '*', 'j', name, 'r', job.ct, 's', job.st)
  return { 'CREATED', dump(name, false) }
end

local replies = {}
for i = 1, n do replies[i] = submit(arg(), arg(), arg(), arg(), arg(), arg(), number(), arg()) end
return reply(replies)

-- What is admitted to the queue, for the verbs that admit.

-- Their header: scheduler that asks; "1" when it dispatches by itself right after; max_queued in all; max_queued a tenant (0: no
-- limit); most classes in all; most classes a tenant.
local function read_admission()
  local admission = { scheduler = arg(), dispatches = arg() == '1' }
  admission.max_all, admission.max_tenant = number(), number()
  admission.max_classes, admission.max_tenant_classes = number(), number()
  return admission
end

-- A job to admit: name; class ("queue|units|requirement,..."); penalty in us; units; digest of the spec; policy or ""; limits or "";
-- labels as JSON or ""; not before (us) or 0; spec.
local function read_job()
  local job = { name = arg(), class_text = arg() }
  job.pn, job.un, job.dg, job.po, job.lm, job.labels = arg(), arg(), arg(), arg(), arg(), arg()
  job.not_before, job.spec = number(), arg()
  job.tenant, job.key = tenant_of(job.name), P .. 'j:' .. job.name
  if job.lm == '' then job.lm = nil end
  return job
end

-- When the id of a deleted job is free again; nil where it is.
local function spent(name)
  local free = count(call('ZSCORE', P .. 'tomb', name))
  if free > NOW then return int(free) end
end

-- Which limit of queued jobs leaves no room for one more, and how much it is; nil where there is room. pending: how many are
-- about to be admitted before it.
local function full(admission, tenant, pending)
  if admission.max_all > 0 then
    local states = call('HMGET', P .. 'states', 'W', 'Q', 'L')
    if count(states[1]) + count(states[2]) + count(states[3]) + pending >= admission.max_all then
      return 'QUEUE_FULL', int(admission.max_all)
    end
  end
  if admission.max_tenant > 0 and count(call('HGET', P .. 'n:' .. tenant, 'q')) + pending >= admission.max_tenant then
    return 'TENANT_FULL', int(admission.max_tenant)
  end
end

-- Classes nobody has unfinished jobs in.
local function unused_classes()
  local unused, counts = {}, call('HGETALL', P .. 'cjobs')
  for i = 1, #counts, 2 do
    if tonumber(counts[i + 1]) <= 0 then unused[#unused + 1] = counts[i] end
  end
  return unused
end

-- They make room only when there is none left.
local function free_classes()
  for _, class in ipairs(unused_classes()) do
    call('HDEL', P .. 'class_ids', call('HGET', P .. 'classes', class))
    call('HDEL', P .. 'classes', class)
    call('HDEL', P .. 'cjobs', class)
    call('HDEL', P .. 'vt', class)
    call('UNLINK', P .. 'idle:' .. class, P .. 'v:' .. class)
  end
end

local function has_class(tenant, class) return class and call('HEXISTS', P .. 'tcl:' .. tenant, class) == 1 end

-- How many classes there may be, where that leaves no room for one more; nil where there is room.
local function classes_full(admission, text, tenant)
  local class = call('HGET', P .. 'class_ids', text)
  if not has_class(tenant, class) and call('HLEN', P .. 'tcl:' .. tenant) >= admission.max_tenant_classes then
    return int(admission.max_tenant_classes)
  end
  if class or call('HLEN', P .. 'classes') < admission.max_classes then return nil end
  if call('HLEN', P .. 'classes') - #unused_classes() >= admission.max_classes then return int(admission.max_classes) end
end

-- The id of a class for which there is room.
local function class_of(admission, text)
  local class = call('HGET', P .. 'class_ids', text)
  if class then return class end
  if call('HLEN', P .. 'classes') >= admission.max_classes then free_classes() end
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

-- Whoever has an unfinished job is known as a tenant, until the auditor finds none of it at all.
local function count_class(job)
  call('HINCRBY', P .. 'cjobs', job.cl, 1)
  if call('HINCRBY', P .. 'tcl:' .. job.tenant, job.cl, 1) == 1 then call('ZADD', P .. 'tenants', 0, job.tenant) end
end

local function write_record(job)
  local record = { 'ct', job.ct, 'rv', job.ct, 'pn', job.pn, 'cl', job.cl, 'dg', job.dg }
  local function note(field, value)
    if value then record[#record + 1], record[#record + 2] = field, value end
  end
  note('sq', job.sq)
  note('un', job.un ~= '1' and job.un)
  note('po', job.po ~= '' and job.po)
  note('lm', job.lm)
  note('qu', job.qu)
  call('SET', P .. 's:' .. job.name, job.spec)
  call('HSET', job.key, unpack(record))
  if job.labels ~= '' then
    call('HSET', P .. 'x:' .. job.name, 'l', job.labels)
    for _, key in ipairs(label_indexes(job.tenant, job.labels)) do call('ZADD', key, job.ct, id_of(job.name)) end
  end
end

-- Writes a job that was found admissible (T1, T2), and gives its dump.
local function admit(admission, job)
  job.cl = class_of(admission, job.class_text)
  local seq, queue = tick(), string.match(job.class_text, '^[^|]*')
  job.ct, job.rv, job.qu = int(seq), seq, queue ~= 'default' and queue or nil
  -- By Redis' TIME, which ours may be ahead of.
  local waits = job.not_before > TIME
  if not waits then job.sq = job.ct end
  write_record(job)
  count_class(job)
  if waits then
    call('HSET', job.key, 'nb', int(job.not_before), 'wr', 'NOT_BEFORE')
    set_state(job, 'W')
    call('ZADD', P .. 'due', int(job.not_before), job.name)
  else
    set_state(job, 'Q')
    make_ready(job, seq, admission.dispatches and admission.scheduler or nil)
  end
  arm(job)
  call('XADD', P .. 'feed', 'MAXLEN', '~', MAX_FEED, '*', 'j', job.name, 'r', job.ct, 's', job.st)
  return dump(job.name, false)
end

-- Where a job becomes ready, and what its tenant is charged for being served.

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

-- The virtual time at which the tenant that a class served last began; whoever comes begins there.
local function floor_of(class) return count(call('HGET', P .. 'vt', class)) end

-- Remembers what a tenant without ready jobs is ahead of its class, and forgets those that are not any more.
local function keep_debt(class, tenant, v)
  call('ZADD', P .. 'v:' .. class, int(v), tenant)
  call('ZREMRANGEBYSCORE', P .. 'v:' .. class, '-inf', int(floor_of(class)))
end

-- The one place that makes a job ready. Its score ages by itself: sequence plus the penalty of its priority.
local function make_ready(job, seq, self)
  local ready = P .. 'rdy:' .. job.cl .. ':' .. job.tenant
  if job.sq ~= int(seq) then
    job.sq = int(seq)
    call('HSET', job.key, 'sq', job.sq)
  end
  call('ZADD', ready, int(seq + tonumber(job.pn)), id_of(job.name))
  call('ZADD', P .. 'age:' .. job.cl, int(seq), job.name)
  if call('ZCARD', ready) == 1 then
    -- A tenant that comes back keeps its debt and banks no credit: it starts no earlier than the one last served.
    local v = math.max(count(call('ZSCORE', P .. 'v:' .. job.cl, job.tenant)), floor_of(job.cl))
    call('SADD', P .. 'tc:' .. job.tenant, job.cl)
    call('ZADD', P .. 'fair:' .. job.cl, int(v), job.tenant)
  end
  wake(job.cl, self)
end

-- Takes a ready job out of everything that offers it. Whether it was its tenant's last in the class.
local function unready(job)
  local ready = P .. 'rdy:' .. job.cl .. ':' .. job.tenant
  call('ZREM', ready, id_of(job.name))
  call('ZREM', P .. 'age:' .. job.cl, job.name)
  if call('EXISTS', ready) == 1 then return false end
  local fair = P .. 'fair:' .. job.cl
  local v = count(call('ZSCORE', fair, job.tenant))
  call('ZREM', fair, job.tenant)
  call('SREM', P .. 'tc:' .. job.tenant, job.cl)
  if call('EXISTS', fair) == 1 then
    keep_debt(job.cl, job.tenant, v)
  else
    -- Where nobody waits, nobody was kept waiting.
    call('UNLINK', P .. 'v:' .. job.cl)
  end
  return true
end

-- Gives back the charge of a grant that came to nothing; in no class below its floor, because the tenant may not have been
-- charged there.
local function refund(job)
  local units, own = count(job.un or '1'), false
  for _, class in ipairs(call('SMEMBERS', P .. 'tc:' .. job.tenant)) do
    own = own or class == job.cl
    local v, floor = count(call('ZSCORE', P .. 'fair:' .. class, job.tenant)), floor_of(class)
    if v > floor then call('ZADD', P .. 'fair:' .. class, 'XX', int(math.max(floor, v - units)), job.tenant) end
  end
  if not own then keep_debt(job.cl, job.tenant, count(call('ZSCORE', P .. 'v:' .. job.cl, job.tenant)) - units) end
end

-- Back to its old place, its tenant's charge refunded.
local function give_back(job)
  refund(job)
  make_ready(job, tonumber(job.sq))
end

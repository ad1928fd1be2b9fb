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

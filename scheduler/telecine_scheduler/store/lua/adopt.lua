#!lua flags=allow-oom
-- Take up leases again that a failover of Redis lost, where the job still waits for anybody (T18). Their worker goes on as though
-- nothing had been.
--
-- Header   lease TTL in us
-- Item     name; token; worker; session
-- Reply    "OK" (it runs under this token) | "STALE"
local n = number()
local ttl = number()

-- What dispatch charged the tenant was lost too.
local function charge(job)
  local units, own, fair = count(job.un or '1'), false, P .. 'fair:'
  for _, class in ipairs(call('SMEMBERS', P .. 'tc:' .. job.tenant)) do
    own = own or class == job.cl
    call('ZINCRBY', fair .. class, units, job.tenant)
  end
  if own or call('EXISTS', fair .. job.cl) == 0 then return end
  keep_debt(job.cl, job.tenant, math.max(count(call('ZSCORE', P .. 'v:' .. job.cl, job.tenant)), floor_of(job.cl)) + units)
end

local function adopt(name, token, worker, session)
  local job = load(name)
  if not job then return 'STALE' end
  if job.tk == token then return job.st == 'R' and 'OK' or 'STALE' end
  if not adoptable(job, token) then return 'STALE' end
  unqueue(job)
  -- One whose time had not come by what is left of it has no place in the order yet.
  job.sq = job.sq or int(tick())
  charge(job)
  clock = math.max(clock, tonumber(token))
  job.tk, job.wk, job.pr = token, worker, process_of(worker, session)
  call('HSET', job.key, 'tk', token, 'wk', worker, 'pr', job.pr, 'sq', job.sq)
  call('ZADD', P .. 'lease', int(NOW + ttl), name)
  call('SADD', P .. 'wl:' .. worker, name)
  call('ZADD', P .. 'holders', 0, worker)
  start(job, ttl, 'ADOPTED')
  return 'OK'
end

local replies = {}
for i = 1, n do replies[i] = adopt(arg(), arg(), arg(), arg()) end
return reply(replies)

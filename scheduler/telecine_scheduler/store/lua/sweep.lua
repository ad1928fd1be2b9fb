#!lua flags=allow-oom
-- What time does to jobs: due ones become ready (T3), leases run out (T6, T9, T10, T14), old records go (T17). Any scheduler may
-- sweep at any time; nothing is decided from an earlier read.
--
-- Header   scheduler; how long it counts as alive in us; longest gap between sweeps in us; lease TTL in us; failure of a lost
--          worker; the same without a log
-- Item     most jobs of each sort; that many random numbers 0..1
-- Reply    {promoted, returned, lost, failed, cancelled, purged, repaired, broken, "1" when there is more to do, "1" while leases
--          are frozen, what was wrong with the last broken one or ""}
local n = number()
local scheduler, alive, gap, ttl, failure, short = arg(), number(), number(), number(), arg(), arg()

-- After an outage every lease is given a full TTL before any expires: workers could not renew, and are not dead for that.
local function frozen()
  local beat = call('HMGET', P .. 'meta', 'beat', 'frozen_until')
  local until_us = count(beat[2])
  local unswept = not beat[1] or NOW - tonumber(beat[1]) > gap
  if unswept and call('ZCARD', P .. 'lease') > 0 then
    until_us = NOW + ttl
    call('HSET', P .. 'meta', 'frozen_until', int(until_us))
  end
  call('HSET', P .. 'meta', 'beat', int(NOW))
  call('ZADD', P .. 'schedulers', int(NOW + alive), scheduler)
  call('ZREMRANGEBYSCORE', P .. 'schedulers', '-inf', int(NOW - 60000000))
  return NOW < until_us
end

local function due(key, limit) return call('ZRANGE', P .. key, '-inf', int(NOW), 'BYSCORE', 'LIMIT', 0, limit) end

local function promote(job, name)
  -- A job that was refused keeps its place; one that failed takes a new one.
  local refused = call('HGET', job.key, 'wr') == 'REFUSED'
  call('ZREM', P .. 'due', name)
  call('HDEL', job.key, 'wr')
  change(job, 'Q', 'DUE')
  make_ready(job, refused and tonumber(job.sq) or tick())
end

local function purge(job, name)
  call('ZREM', P .. 'ret', name)
  set_state(job, nil)
  call('UNLINK', job.key, P .. 's:' .. name, P .. 'x:' .. name, P .. 'h:' .. name, P .. 'a:' .. name)
  call('XADD', P .. 'feed', 'MAXLEN', '~', MAX_FEED, '*', 'j', name, 'r', '0', 's', '-')
end

local function sweep(limit, random)
  local done = { promoted = 0, RETURNED = 0, LOST = 0, FAILED = 0, CANCELLED = 0, purged = 0, repaired = 0, broken = 0 }
  local is_frozen, more, wrong = frozen(), '0', ''
  -- Applies act to what is due in a timer set; an entry whose job is not in one of the states it is for is taken out.
  local function each(key, states, act)
    local names = due(key, limit)
    if #names >= limit then more = '1' end
    for i, name in ipairs(names) do
      -- A record that cannot be handled must not stop the others: it is looked at again in a minute, and counted.
      local fine, what = pcall(function()
        local job = load(name)
        if job and states[job.st] then return act(job, name, i) end
        call('ZREM', P .. key, name)
        return 'repaired'
      end)
      if not fine then
        wrong, what = type(what) == 'table' and what.err or what, 'broken'
        call('ZADD', P .. key, int(NOW + 60000000), name)
      end
      done[what] = done[what] + 1
    end
  end
  each('due', { W = true }, function(job, name) promote(job, name) return 'promoted' end)
  if not is_frozen then
    each('lease', { L = true, R = true, C = true }, function(job, _, i) return lost(job, failure, short, random[i]) end)
  end
  each('ret', { S = true, F = true, X = true }, function(job, name) purge(job, name) return 'purged' end)
  return {
    done.promoted, done.RETURNED, done.LOST, done.FAILED, done.CANCELLED, done.purged, done.repaired, done.broken, more,
    is_frozen and '1' or '0', wrong,
  }
end

local replies = {}
for i = 1, n do
  local limit, random = number(), {}
  for r = 1, limit do random[r] = number() end
  replies[i] = sweep(limit, random)
end
return reply(replies)

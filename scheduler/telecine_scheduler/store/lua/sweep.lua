#!lua flags=allow-oom
-- What time does to jobs: due ones become ready (T3), leases run out (T6, T9, T10, T14), limits end jobs (T10, T15), old
-- records and tombstones go (T17). Any scheduler may
-- sweep at any time; nothing is decided from an earlier read.
--
-- Header   scheduler; how long it counts as alive in us; longest gap between sweeps in us; lease TTL in us; endings
--          (attempt.lua)
-- Item     most jobs of each sort; that many random numbers 0..1
-- Reply    {promoted, returned, lost, failed, cancelled, purged, repaired, broken, ended by their queue, total and run
--          limit, "1" when there is more to do, "1" while leases
--          are frozen, what was wrong with the last broken one or ""}
local n = number()
local scheduler, alive, gap, ttl = arg(), number(), number(), number()
local endings = read_endings()

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
  return NOW < until_us and until_us
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

-- A limit of a job is over. One that runs is ended by its worker, and by us only if it is not; one that publishes is looked at
-- again when its window ends, and no attempt is ended while its worker could not have told us.
local function over(job, name, frozen_until)
  local ends = total_end(job)
  if not ends and (job.st == 'R' or not limits(job).queue) then
    call('ZREM', P .. 'dl', name)
    return 'repaired'
  end
  if job.st ~= 'R' then
    local is_total = ends and tonumber(call('ZSCORE', P .. 'dl', name)) >= ends
    return time_out(job, is_total and 'TOTAL_TIMEOUT' or 'QUEUE_TIMEOUT', endings)
  end
  local again = ends + slack(job, endings)
  if frozen_until then again = math.max(again, frozen_until) end
  if publishing(job) then again = math.max(again, tonumber(job.pb)) end
  if NOW >= again then return overrun(job, endings) end
  call('ZADD', P .. 'dl', int(again), name)
  return 'deferred'
end

local function sweep(limit, random)
  local done = {
    promoted = 0, RETURNED = 0, LOST = 0, FAILED = 0, CANCELLED = 0, purged = 0, repaired = 0, broken = 0, deferred = 0,
    QUEUE_TIMEOUT = 0, TOTAL_TIMEOUT = 0, RUN_TIMEOUT = 0,
  }
  local frozen_until, more, wrong = frozen(), '0', ''
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
  if not frozen_until then
    each('lease', { L = true, R = true, C = true }, function(job, _, i) return lost(job, endings, random[i]) end)
  end
  each('dl', { W = true, Q = true, L = true, R = true }, function(job, name) return over(job, name, frozen_until) end)
  each('ret', { S = true, F = true, X = true }, function(job) purge(job) return 'purged' end)
  local free = due('tomb', limit)
  if #free >= limit then more = '1' end
  for _, name in ipairs(free) do call('ZREM', P .. 'tomb', name) end
  return {
    done.promoted, done.RETURNED, done.LOST, done.FAILED, done.CANCELLED, done.purged, done.repaired, done.broken,
    done.QUEUE_TIMEOUT, done.TOTAL_TIMEOUT, done.RUN_TIMEOUT, more, frozen_until and '1' or '0', wrong,
  }
end

local replies = {}
for i = 1, n do
  local limit, random = number(), {}
  for r = 1, limit do random[r] = number() end
  replies[i] = sweep(limit, random)
end
return reply(replies)

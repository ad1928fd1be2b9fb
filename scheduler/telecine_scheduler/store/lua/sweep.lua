#!lua flags=allow-oom
-- What time does to jobs: due ones become ready (T3), leases run out (T6, T9, T10, T14), limits end jobs (T10, T15), old
-- records and tombstones go (T17). Any scheduler may sweep at any time; nothing is decided from an earlier read.
--
-- Header   scheduler; how long it counts as alive in us; longest gap between sweeps in us; lease TTL in us; endings
--          (attempt.lua)
-- Item     most jobs of each sort; that many random numbers 0..1
-- Reply    {promoted, returned, lost, failed, cancelled, purged, repaired, broken, ended by their queue, total and run
--          limit, braked, "1" when there is more to do, "1" while leases are frozen, "1" when the brake was pulled just now, what was
--          wrong with the last broken one or ""}
local n = number()
local scheduler, alive, gap, ttl = arg(), number(), number(), number()
local endings = read_endings()

-- Where Redis' TIME was set back, ours is ahead of it from now on, and runs a tenth slower until it no longer is; what TIME leaps
-- forward or nobody swept makes up for it at once (base.lua).
local function follow_time()
  local now = AHEAD
  if TIME + AHEAD < BEAT then
    now = BEAT - TIME
  elseif AHEAD > 0 then
    now = math.floor(math.max(0, NOW - TIME - math.min(gap, NOW - BEAT) / 10))
  end
  if now == AHEAD then return end
  call('HSET', P .. 'meta', 'ahead', int(now))
  NOW = TIME + now
end

local kept = call('HMGET', P .. 'meta', 'frozen_until', 'brake')

-- After an outage every lease is given a full TTL before any expires: workers could not renew, and are not dead for that.
local function frozen()
  local until_us = count(kept[1])
  local unswept = not meta[4] or math.max(NOW, TIME + AHEAD) - BEAT > gap
  if meta[4] then follow_time() end
  if unswept and call('ZCARD', P .. 'lease') > 0 then
    until_us = NOW + ttl
    call('HSET', P .. 'meta', 'frozen_until', int(until_us))
  end
  call('HSET', P .. 'meta', 'beat', int(NOW))
  call('ZADD', P .. 'schedulers', int(NOW + alive), scheduler)
  call('ZREMRANGEBYSCORE', P .. 'schedulers', '-inf', int(NOW - 60000000))
  return NOW < until_us and until_us
end

-- Leases that run out together were cut off together, and their workers are there most likely: if more than this many, and this
-- part of all, have not been renewed for two intervals when one of them runs out, they are kept for another TTL, once.
local LEAST_MASS, MASS_SHARE, MAX_ASKED_LEASES = 5, 0.3, 200

-- Whether a running lease runs out for silence, and not because its worker was seen to leave.
local function silent(state, worker) return state == 'R' and call('HGET', P .. 'w:' .. (worker or ''), 'cut') ~= '1' end

local function is_mass()
  local soon, most = int(NOW + ttl / 3), math.max(LEAST_MASS, MASS_SHARE * call('ZCARD', P .. 'lease'))
  local number, found = call('ZCOUNT', P .. 'lease', '-inf', soon), 0
  if number <= most then return false end
  local names = call('ZRANGE', P .. 'lease', '-inf', soon, 'BYSCORE', 'LIMIT', 0, MAX_ASKED_LEASES)
  for _, name in ipairs(names) do
    local job = call('HMGET', P .. 'j:' .. name, 'st', 'wk')
    if silent(job[1], job[2]) then found = found + 1 end
  end
  return number * found / #names > most
end

-- Until when silent leases are kept, nil where they run out; and whether the brake was pulled just now. It is not pulled again
-- before all that ran out are gone; an outage's freeze, which is over here, was the same.
local function braked(expired)
  local until_us = math.max(count(kept[1]), count(kept[2]))
  if NOW < until_us then return until_us, false end
  if until_us > 0 and not expired[1] then call('HDEL', P .. 'meta', 'frozen_until', 'brake') end
  if until_us > 0 or not expired[1] or not is_mass() then return nil, false end
  call('HSET', P .. 'meta', 'brake', int(NOW + ttl))
  return NOW + ttl, true
end

local function due(key, limit) return call('ZRANGE', P .. key, '-inf', int(NOW), 'BYSCORE', 'LIMIT', 0, limit) end

-- Only the caller's own time counts by Redis' TIME: where ours is ahead, the job is looked at again, at least every minute,
-- because that may change.
local LONGEST_LOOK = 60000000
local function promote(job, name)
  local waits = call('HMGET', job.key, 'wr', 'nb')
  local left = waits[1] == 'NOT_BEFORE' and tonumber(waits[2]) - TIME or 0
  if left > 0 then
    call('ZADD', P .. 'due', int(math.max(tonumber(waits[2]), NOW + math.min(left, LONGEST_LOOK))), name)
    return 'deferred'
  end
  -- A job that was refused keeps its place; one that failed takes a new one.
  local refused = waits[1] == 'REFUSED'
  call('ZREM', P .. 'due', name)
  call('HDEL', job.key, 'wr')
  change(job, 'Q', 'DUE')
  make_ready(job, refused and tonumber(job.sq) or tick())
  return 'promoted'
end

-- T15: a limit ends a job that waits or is granted.
local function time_out(job, reason, endings)
  unqueue(job)
  call('HSET', P .. 'x:' .. job.name, 'f', endings[reason])
  retire(job, 'F', reason)
  return reason
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
    QUEUE_TIMEOUT = 0, TOTAL_TIMEOUT = 0, RUN_TIMEOUT = 0, braked = 0,
  }
  local frozen_until, more, wrong = frozen(), '0', ''
  -- Applies act to what is due in a timer set; an entry whose job is not in one of the states it is for is taken out.
  local function each(key, names, states, act)
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
  each('due', due('due', limit), { W = true }, promote)
  local pulled = false
  if not frozen_until then
    local expired, kept_until = due('lease', limit), nil
    kept_until, pulled = braked(expired)
    each('lease', expired, { L = true, R = true, C = true }, function(job, name, i)
      if not kept_until or not silent(job.st, job.wk) then return lost(job, endings, random[i]) end
      call('ZADD', P .. 'lease', int(kept_until), name)
      return 'braked'
    end)
  end
  each('dl', due('dl', limit), { W = true, Q = true, L = true, R = true }, function(job, name) return over(job, name, frozen_until) end)
  each('ret', due('ret', limit), { S = true, F = true, X = true }, function(job) purge(job) return 'purged' end)
  local free = due('tomb', limit)
  if #free >= limit then more = '1' end
  for _, name in ipairs(free) do call('ZREM', P .. 'tomb', name) end
  return {
    done.promoted, done.RETURNED, done.LOST, done.FAILED, done.CANCELLED, done.purged, done.repaired, done.broken,
    done.QUEUE_TIMEOUT, done.TOTAL_TIMEOUT, done.RUN_TIMEOUT, done.braked, more, frozen_until and '1' or '0',
    pulled and '1' or '0', wrong,
  }
end

local replies = {}
for i = 1, n do
  local limit, random = number(), {}
  for r = 1, limit do random[r] = number() end
  replies[i] = sweep(limit, random)
end
return reply(replies)

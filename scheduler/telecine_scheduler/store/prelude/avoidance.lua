-- Which workers a job is kept from: a process that refused it, or the one that failed with it while there is another.

-- Refusals that do not pass within seconds: the job is not offered to that process again for a minute.
local AVOIDED, AVOID_US, ELSEWHERE_US = { UNSUPPORTED = true, UNHEALTHY = true }, 60000000, 10000000
-- So many of these within a minute, and a tenant's whole class is shut to the process for the next.
local MAX_REFUSED, SHUT_US = 8, 60000000
-- How many connected workers are asked whether they could run a job.
local MAX_ASKED = 100

-- One process of a worker, short enough for a record.
local function process_of(worker, session) return string.sub(redis.sha1hex(worker .. ' ' .. session), 1, 16) end

-- Until then dispatch does not offer the job to the process that has, or had, its lease.
local function avoid(job, until_us)
  if job.pr then call('HSET', job.key, 'av', job.pr, 'au', int(until_us)) end
end

-- A tenant's jobs of one class, as they are shut to a process.
local function place_of(class, tenant) return class .. ':' .. tenant end

-- Until then (place -> time) dispatch does not look there for the process. The worker's record says whether there is any such.
local function shut(worker, process, places)
  local key, last = P .. 'shut:' .. process, NOW
  call('ZREMRANGEBYSCORE', key, '-inf', int(NOW))
  for place, until_us in pairs(places) do
    call('ZADD', key, 'GT', int(until_us), place)
    last = math.max(last, until_us)
  end
  call('PEXPIRE', key, 2 * SHUT_US / 1000)
  call('HSET', P .. 'w:' .. worker, 'su', int(math.max(last, count(call('HGET', P .. 'w:' .. worker, 'su')))))
end

-- Counts a refusal against the process that has the lease.
local function count_refusal(job)
  local key, place = P .. 'refused:' .. job.pr, place_of(job.cl, job.tenant)
  local number, since = string.match(call('HGET', key, place) or '0|0', '^(%d+)|(%d+)$')
  if NOW >= tonumber(since) + SHUT_US then number, since = 0, int(NOW) end
  call('HSET', key, place, int(number + 1) .. '|' .. since)
  call('PEXPIRE', key, 2 * SHUT_US / 1000)
  if number + 1 >= MAX_REFUSED then shut(job.wk, job.pr, { [place] = NOW + SHUT_US }) end
end

local function set_of(list)
  local set = {}
  for _, each in ipairs(list) do set[each] = true end
  return set
end

-- What connected workers offer, as far as it was asked for; false: nothing.
local offers = {}
local function offer_of(worker)
  if offers[worker] == nil then
    local found, text = call('HMGET', P .. 'w:' .. worker, 'up', 'sch', 'dr'), call('GET', P .. 'wo:' .. worker)
    local alive = found[1] == '1' and found[2] and count(call('ZSCORE', P .. 'schedulers', found[2])) > NOW
    offers[worker] = false
    if alive and found[3] ~= '1' and text then
      local offer = cjson.decode(text)
      offers[worker] = { queues = set_of(offer.queues), capabilities = set_of(offer.capabilities), slots = offer.slots }
    end
  end
  return offers[worker]
end

local function serves(offer, queue, units, requirements)
  if not offer or not offer.queues[queue] or offer.slots < tonumber(units) then return false end
  for each in string.gmatch(requirements, '[^,]+') do
    if not offer.capabilities[each] then return false end
  end
  return true
end

-- Whether a connected worker that does not drain could run the job, besides the one that has, or had, its lease.
local function has_other(job)
  local text = call('HGET', P .. 'classes', job.cl) or ''
  local queue, units, requirements = string.match(text, '^([^|]*)|(%d+)|(.*)$')
  if not queue then return false end
  for _, worker in ipairs(call('ZRANGE', P .. 'workers', 0, MAX_ASKED)) do
    if worker ~= job.wk and serves(offer_of(worker), queue, units, requirements) then return true end
  end
  return false
end

-- What every script stands on: the clock, the arguments, and a job's record.
-- The parts in this folder are put before the body of each verb (store/scripts.py). store/keys.py lists every key and field.
--
-- KEYS[1] is the partition's prefix, "telecine:{p0}:"; all keys of a partition share its hash slot.
-- Every verb: ARGV[1] is the number of items; the reply is a list with one reply an item, in order. A verb reads and checks
-- an item completely before its first write, because a script is atomic but not rolled back, and may be sent twice.
-- Times are microseconds since 2024-01-01 UTC, exact in a double (2^53 is reached in the year 2309).
local P = KEYS[1]
local call = redis.call

-- `tostring` and `..` lose digits of large numbers; this does not.
local function int(number) return string.format('%.0f', number) end

-- TIME moves while a script runs on 7.0, so it is read once. test_shift_us exists only in tests.
local time, meta = call('TIME'), call('HMGET', P .. 'meta', 'clock', 'test_shift_us', 'ahead', 'beat', 'recount')
local TIME = time[1] * 1000000 + time[2] - 1704067200000000 + tonumber(meta[2] or '0')
-- Ours never goes back behind the last sweep. Where TIME was set back, ours stands still until the next sweep, which notes how
-- far it is ahead from then on (follow_time in sweep.lua). Where TIME is set right again, ours must not leap by what it is
-- ahead: while it is, it goes no further than this beyond the last sweep.
local MOST_STEP = 2000000
local BEAT, AHEAD = tonumber(meta[4] or '0'), tonumber(meta[3] or '0')
local NOW = math.max(TIME, BEAT, math.min(TIME + AHEAD, BEAT + MOST_STEP))
-- Where the auditor counts a tenant's jobs again (recounting.lua).
local recount = meta[5]
local clock, saved_clock = tonumber(meta[1] or '0'), tonumber(meta[1] or '0')
-- Beyond this, numbers are not exact, and the next one might be the last one again.
if clock > 9007199254000000 then
  return redis.error_reply('the clock in ' .. P .. 'meta is past the year 2309: it was written by somebody else')
end

-- The next number of the partition's hybrid clock: sequence, token and revision in one; never repeats, never goes back.
local function tick()
  clock = math.max(clock + 1, NOW)
  return clock
end

-- Every script that may have ticked ends with this.
local function reply(items)
  if clock ~= saved_clock then call('HSET', P .. 'meta', 'clock', int(clock)) end
  return items
end

-- Reads ARGV from front to back.
local position = 0
local function arg()
  position = position + 1
  return ARGV[position]
end
local function number() return tonumber(arg()) end

-- A job is named "<tenant>:<id>" in every key and set; a tenant has no colon.
local function tenant_of(name) return string.sub(name, 1, string.find(name, ':', 1, true) - 1) end
local function id_of(name) return string.sub(name, string.find(name, ':', 1, true) + 1) end

local function count(value) return tonumber(value or '0') end

local FIELDS = {
  'st', 'rv', 'ct', 'sq', 'pn', 'cl', 'qu', 'tk', 'wk', 'at', 'sa', 'fa', 'cr', 're', 'rf', 'uk', 'po', 'pb', 'un', 'ps', 'lm', 'gs',
  'gn', 'av', 'au', 'pr',
}

-- The record of a job as a table, or nil. Numbers stay text until they are used.
local function load(name)
  local values = call('HMGET', P .. 'j:' .. name, unpack(FIELDS))
  if not values[1] then return nil end
  local job = { name = name, tenant = tenant_of(name), key = P .. 'j:' .. name }
  for index, field in ipairs(FIELDS) do job[field] = values[index] or nil end
  return job
end

-- Retry and retention policy: "max_attempts|initial us|max us|keep succeeded s|keep failed s|keep cancelled s"; absent where all
-- are default.
local function policy(job)
  local p = {}
  for value in string.gmatch(job.po or '3|10000000|600000000|86400|604800|86400', '[^|]+') do p[#p + 1] = tonumber(value) end
  return { attempts = p[1], initial = p[2], max = p[3], keep = { S = p[4] * 1000000, F = p[5] * 1000000, X = p[6] * 1000000 } }
end

-- Limits: "queue us|total us|hard run us|cancel grace us"; a part is empty, or all of it absent, where it is default. nil: no
-- limit; of the grace: what the header of the call says.
local function limits(job)
  local queue, total, hard_run, grace = string.match(job.lm or '|||', '^(%d*)|(%d*)|(%d*)|(%d*)$')
  return {
    queue = tonumber(queue), total = tonumber(total), hard_run = tonumber(hard_run) or 86400000000, grace = tonumber(grace),
  }
end

-- The grace as an answer.
local function own_grace(job)
  local grace = limits(job).grace
  return grace and int(grace) or ''
end

-- Whether an attempt is making its files visible: until the window that it was promised is over.
local function publishing(job) return job.pb and NOW < tonumber(job.pb) end

-- Limits count from the submit, or from the retry that began the generation.
local function limits_begin(job) return tonumber(job.gs or job.ct) end

-- When the job's total limit is over; nil where it has none.
local function total_end(job)
  local total = limits(job).total
  return total and limits_begin(job) + total
end

-- A job as an answer: record, spec (where wanted), large values, changes, attempts, due time, purge time.
local function dump(name, full)
  local record = call('HGETALL', P .. 'j:' .. name)
  if #record == 0 then return false end
  return {
    record, full and call('GET', P .. 's:' .. name) or '', call('HGETALL', P .. 'x:' .. name),
    call('LRANGE', P .. 'h:' .. name, 0, -1), call('LRANGE', P .. 'a:' .. name, 0, -1),
    call('ZSCORE', P .. 'due', name) or '', call('ZSCORE', P .. 'ret', name) or '',
  }
end

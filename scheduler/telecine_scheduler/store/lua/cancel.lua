#!lua flags=allow-oom
-- Cancel jobs (T12, T13).
--
-- Header   cancel grace in us, for jobs without one of their own
-- Item     name; reason
-- Reply    {"OK", dump} | {"PUBLISHING"} | {"FINISHED", state} | {"NOT_FOUND"}
local n = number()
local grace = number()
-- What a worker's answer may take on the way after the kill.
local STOP_US = 2000000

local function cancel(name, reason)
  local job = load(name)
  if not job then return { 'NOT_FOUND' } end
  if job.st == 'S' or job.st == 'F' then return { 'FINISHED', job.st } end
  if job.st == 'C' or job.st == 'X' then return { 'OK', dump(name, false) } end
  if publishing(job) then return { 'PUBLISHING' } end
  if reason ~= '' then call('HSET', P .. 'x:' .. name, 'cn', reason) end
  if job.st == 'L' or job.st == 'R' then
    local own = limits(job).grace
    call('HDEL', job.key, 'pb')
    call('ZADD', P .. 'lease', 'XX', int(NOW + (own or grace) + STOP_US), name)
    change(job, 'C', 'CANCEL_REQUESTED', { 'w', job.wk or '', 't', job.tk, own and 'g', own and int(own) })
  else
    unqueue(job)
    retire(job, 'X', 'CANCELLED')
  end
  return { 'OK', dump(name, false) }
end

local replies = {}
for i = 1, n do replies[i] = cancel(arg(), arg()) end
return reply(replies)

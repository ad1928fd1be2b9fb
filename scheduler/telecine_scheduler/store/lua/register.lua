#!lua flags=allow-oom
-- A worker's stream begins: from here on only this (session, epoch) is granted anything.
--
-- Item     worker; session; epoch; scheduler
-- Reply    "OK" | "FENCED" (this session has a stream with this epoch or a later one) |
--          "ALREADY_CONNECTED" (another session's stream is alive)
local function register(worker, session, epoch, scheduler)
  local key = P .. 'w:' .. worker
  local owner = call('HMGET', key, 'ses', 'ep', 'up', 'sch')
  if owner[1] == session then
    if tonumber(epoch) <= tonumber(owner[2]) then return 'FENCED' end
  elseif owner[1] and owner[3] == '1' and count(call('ZSCORE', P .. 'schedulers', owner[4])) > NOW then
    return 'ALREADY_CONNECTED'
  end
  -- A new process may offer something else, and is listed when it has said so.
  if owner[1] ~= session then unlist(worker) end
  call('HSET', key, 'ses', session, 'ep', epoch, 'up', '1', 'cut', '0', 'sch', scheduler, 'ct', int(NOW))
  call('ZADD', P .. 'holders', 0, worker)
  -- Streams are renewed within the hour; the record of a worker that is gone for a week is of no use to anybody.
  call('PEXPIRE', key, 604800000)
  return 'OK'
end

local replies = {}
for i = 1, number() do replies[i] = register(arg(), arg(), arg(), arg()) end
return replies

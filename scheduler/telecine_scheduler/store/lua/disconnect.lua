#!lua flags=allow-oom
-- A worker's stream ended. Where it was the registered one, its leases are shortened to the reconnect grace, but never those
-- that publish, and never lengthened.
--
-- Header   reconnect grace in us
-- Item     worker; session; epoch; "1" to shorten, "0" to leave the leases alone
-- Reply    "OK" | "FENCED"
local n = number()
local grace = number()

local function disconnect(worker, session, epoch, shorten)
  local owner = call('HMGET', P .. 'w:' .. worker, 'ses', 'ep')
  if owner[1] ~= session or owner[2] ~= epoch then return 'FENCED' end
  call('HSET', P .. 'w:' .. worker, 'up', '0', 'cut', shorten)
  unlist(worker)
  if shorten == '1' then
    for _, name in ipairs(call('SMEMBERS', P .. 'wl:' .. worker)) do
      local job = load(name)
      if job and not publishing(job) then call('ZADD', P .. 'lease', 'XX', 'LT', int(NOW + grace), name) end
    end
  end
  return 'OK'
end

local replies = {}
for i = 1, n do replies[i] = disconnect(arg(), arg(), arg(), arg()) end
return replies

#!lua flags=allow-oom
-- Workers are connected here, says their scheduler.
--
-- Header   scheduler
-- Item     worker; session; epoch; what it offers as JSON, or "" when the store should have it; "1" while it drains, else "0"
-- Reply    "OK" | "OFFER" (send it with the offer) | "FENCED"
local n = number()
local scheduler = arg()

local function beat(worker, session, epoch, offer, draining)
  local key = P .. 'w:' .. worker
  local owner = call('HMGET', key, 'ses', 'ep', 'up')
  if owner[1] ~= session or owner[2] ~= epoch or owner[3] ~= '1' then return 'FENCED' end
  if offer == '' and call('EXISTS', P .. 'wo:' .. worker) == 0 then return 'OFFER' end
  if offer ~= '' then call('SET', P .. 'wo:' .. worker, offer) end
  call('HSET', key, 'sn', int(NOW), 'dr', draining, 'sch', scheduler)
  call('ZADD', P .. 'workers', 0, worker)
  return 'OK'
end

local replies = {}
for i = 1, n do replies[i] = beat(arg(), arg(), arg(), arg(), arg()) end
return replies

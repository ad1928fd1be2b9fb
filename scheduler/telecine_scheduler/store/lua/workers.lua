#!lua flags=allow-oom
-- List connected workers by id. Those whose scheduler died are taken off the list on the way.
--
-- Item     after this worker, or ""; most workers
-- Reply    {{worker, offer as JSON, busy units, "1" while it drains, connected at, last seen at}...}; fewer than most when there are
--          no more
local function busy(worker)
  local units = 0
  for _, name in ipairs(call('SMEMBERS', P .. 'wl:' .. worker)) do
    units = units + count(call('HGET', P .. 'j:' .. name, 'un') or '1')
  end
  return units
end

local function row(worker)
  local found, offer = call('HMGET', P .. 'w:' .. worker, 'up', 'sch', 'dr', 'ct', 'sn'), call('GET', P .. 'wo:' .. worker)
  local alive = found[2] and count(call('ZSCORE', P .. 'schedulers', found[2])) > NOW
  if found[1] ~= '1' or not alive or not offer then return nil end
  return { worker, offer, busy(worker), found[3], found[4], found[5] }
end

local function list(after, most)
  local out = {}
  while #out < most do
    local found = call('ZRANGE', P .. 'workers', after == '' and '-' or '(' .. after, '+', 'BYLEX', 'LIMIT', 0, most - #out)
    if not found[1] then return out end
    for _, worker in ipairs(found) do
      local it = row(worker)
      if it then out[#out + 1] = it else unlist(worker) end
    end
    after = found[#found]
  end
  return out
end

local replies = {}
for i = 1, number() do replies[i] = list(arg(), number()) end
return replies

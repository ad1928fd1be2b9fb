#!lua flags=no-writes
-- Count a tenant's jobs in one queue, or in all of its queues.
--
-- Item     tenant; queue or ""; number of states; states as callers see them
-- Reply    {numbers of jobs in these states, age of the oldest ready job in us or "", {class text, ready jobs}...}
local MAX_LOOKS = 1000

-- Jobs by state, over the queues that are asked for. A queue has no '|'.
local function by_state(tenant, queue, states)
  local sums = {}
  local counts = call('HGETALL', P .. 'n:' .. tenant)
  for i = 1, #counts, 2 do
    local of, state = string.match(counts[i], '^([^|]*)|(%u)$')
    if of and (queue == '' or of == queue) then sums[state] = (sums[state] or 0) + tonumber(counts[i + 1]) end
  end
  local out = {}
  for i, state in ipairs(states) do out[i] = sums[state] or 0 end
  return out
end

-- When the tenant's longest ready job of a class became ready. Where a thousand others have waited longer, the first thousand by
-- rank stand for all.
local function oldest_in(class, tenant)
  local begins = tenant .. ':'
  local ages = call('ZRANGE', P .. 'age:' .. class, 0, MAX_LOOKS - 1, 'WITHSCORES')
  for i = 1, #ages, 2 do
    if string.sub(ages[i], 1, #begins) == begins then return tonumber(ages[i + 1]) end
  end
  local found
  for _, id in ipairs(call('ZRANGE', P .. 'rdy:' .. class .. ':' .. tenant, 0, MAX_LOOKS - 1)) do
    local since = tonumber(call('ZSCORE', P .. 'age:' .. class, begins .. id))
    if since and (not found or since < found) then found = since end
  end
  return found
end

local function counts(tenant, queue, states)
  local oldest, classes = nil, {}
  for _, class in ipairs(call('SMEMBERS', P .. 'tc:' .. tenant)) do
    local text = call('HGET', P .. 'classes', class)
    if text and (queue == '' or string.match(text, '^[^|]*') == queue) then
      classes[#classes + 1] = { text, call('ZCARD', P .. 'rdy:' .. class .. ':' .. tenant) }
      local since = oldest_in(class, tenant)
      if since and (not oldest or since < oldest) then oldest = since end
    end
  end
  return { by_state(tenant, queue, states), oldest and int(math.max(0, NOW - oldest)) or '', unpack(classes) }
end

local replies = {}
for i = 1, number() do
  local tenant, queue, states = arg(), arg(), {}
  for s = 1, number() do states[s] = arg() end
  replies[i] = counts(tenant, queue, states)
end
return replies

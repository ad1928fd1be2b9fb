#!lua flags=no-writes
-- Count a tenant's jobs in one queue, or in all of its queues.
--
-- Item     tenant; queue or ""; number of states; states as callers see them
-- Reply    {numbers of jobs in these states, age of the oldest ready job in us or "", {class text, ready jobs}...}
-- Jobs that one call looks at, over all classes.
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

local function age_of(class, names)
  local found
  if not names[1] then return nil end
  for _, since in ipairs(call('ZMSCORE', P .. 'age:' .. class, unpack(names))) do
    if since and (not found or tonumber(since) < found) then found = tonumber(since) end
  end
  return found
end

-- When the tenant's longest ready job of a class became ready, and how many jobs were looked at. Where it has more than may be
-- looked at, the longest ready ones of all tenants are looked through, and after them its first by rank stand for all.
local function oldest_in(class, tenant, ready, most)
  local begins, looks = tenant .. ':', 0
  if ready > most then
    local half = math.floor(most / 2)
    local ages = call('ZRANGE', P .. 'age:' .. class, 0, half - 1, 'WITHSCORES')
    for i = 1, #ages, 2 do
      looks = looks + 1
      if string.sub(ages[i], 1, #begins) == begins then return tonumber(ages[i + 1]), looks end
    end
  end
  local names = call('ZRANGE', P .. 'rdy:' .. class .. ':' .. tenant, 0, most - looks - 1)
  for i, id in ipairs(names) do names[i] = begins .. id end
  return age_of(class, names), looks + #names
end

-- The classes where the tenant has ready jobs, those with the fewest first, which leave more looks to the others.
local function classes_of(tenant, queue)
  local classes = {}
  for _, class in ipairs(call('SMEMBERS', P .. 'tc:' .. tenant)) do
    local text = call('HGET', P .. 'classes', class)
    if text and (queue == '' or string.match(text, '^[^|]*') == queue) then
      classes[#classes + 1] = { id = class, text = text, ready = call('ZCARD', P .. 'rdy:' .. class .. ':' .. tenant) }
    end
  end
  table.sort(classes, function(a, b) return a.ready < b.ready end)
  return classes
end

local function counts(tenant, queue, states)
  local oldest, out, left, classes = nil, {}, MAX_LOOKS, classes_of(tenant, queue)
  for i, class in ipairs(classes) do
    local since, looks = oldest_in(class.id, tenant, class.ready, math.max(2, math.floor(left / (#classes - i + 1))))
    left = left - looks
    if since and (not oldest or since < oldest) then oldest = since end
    out[i] = { class.text, class.ready }
  end
  return { by_state(tenant, queue, states), oldest and int(math.max(0, NOW - oldest)) or '', unpack(out) }
end

local replies = {}
for i = 1, number() do
  local tenant, queue, states = arg(), arg(), {}
  for s = 1, number() do states[s] = arg() end
  replies[i] = counts(tenant, queue, states)
end
return replies

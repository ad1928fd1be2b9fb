-- Counters are what is there, and how they are made so: for the auditor, after the indexes that they count.

-- So many jobs of a tenant in one state are counted one by one at every pass; more only when the sum is wrong, in pages.
local FEW = 100
-- So many tenants are added up in one script.
local MOST_TENANTS = 1000

local function hash_of(key)
  local flat, hash = call('HGETALL', key), {}
  for i = 1, #flat, 2 do hash[flat[i]] = tonumber(flat[i + 1]) end
  return hash
end

-- Makes a hash of counters what it should be; those that are 0 are not kept.
local function settle(key, found, expected)
  local wrong = false
  for field, number in pairs(found) do
    if number ~= 0 and not expected[field] then
      call('HDEL', key, field)
      wrong = true
    end
  end
  for field, number in pairs(expected) do
    if found[field] ~= number then
      call('HSET', key, field, int(number))
      wrong = true
    end
  end
  if wrong then mended('counter') end
end

local function sum_of(hash, suffix)
  local sum = 0
  for field, number in pairs(hash) do
    if not suffix or string.sub(field, -#suffix) == suffix then sum = sum + number end
  end
  return sum
end

-- Adds one for each job of the tenant's in that state to its queue, and to its class.
local function count_jobs(tenant, state, queues, classes)
  for _, id in ipairs(call('ZRANGE', index_of(tenant, state), 0, -1)) do
    looked = looked + 1
    local record = call('HMGET', P .. 'j:' .. tenant .. ':' .. id, 'qu', 'cl')
    local field, class = (record[1] or 'default') .. '|' .. state, record[2]
    queues[field] = (queues[field] or 0) + 1
    if class then classes[class] = (classes[class] or 0) + 1 end
  end
end

local function sizes_of(tenant)
  local sizes, unfinished = {}, 0
  for _, state in ipairs(PUBLIC) do
    sizes[state] = call('ZCARD', index_of(tenant, state))
    if UNFINISHED[state] then unfinished = unfinished + sizes[state] end
  end
  return sizes, unfinished
end

-- Queued jobs are those that wait and those that are ready or granted.
local function queued_of(sizes)
  local queued = sizes.W + sizes.Q
  return queued > 0 and queued or nil
end

-- What a tenant's counters of its jobs by queue and state, and by class, should be; nil where too many have to be counted for that.
local function tally(tenant, noted, noted_classes)
  local queues, classes, sizes, unfinished = {}, {}, sizes_of(tenant)
  local classes_are_right = sum_of(noted_classes) == unfinished
  for _, state in ipairs(PUBLIC) do
    local right = sum_of(noted, '|' .. state) == sizes[state] and (classes_are_right or not UNFINISHED[state])
    if sizes[state] <= FEW then
      count_jobs(tenant, state, queues, UNFINISHED[state] and classes or {})
    elseif not right then
      return nil
    else
      for field, number in pairs(noted) do
        if string.sub(field, -2) == '|' .. state then queues[field] = number end
      end
      if UNFINISHED[state] then classes = nil end
    end
  end
  queues.q = queued_of(sizes)
  return queues, classes or noted_classes
end

-- What may be queued does not wait for the rest to be counted.
local function settle_queued(tenant, noted)
  local queued = queued_of(sizes_of(tenant))
  if noted.q == queued then return end
  if queued then call('HSET', P .. 'n:' .. tenant, 'q', int(queued)) else call('HDEL', P .. 'n:' .. tenant, 'q') end
  mended('counter')
end

local function settle_tenant(tenant, queues, classes)
  settle(P .. 'n:' .. tenant, hash_of(P .. 'n:' .. tenant), queues)
  settle(P .. 'tcl:' .. tenant, hash_of(P .. 'tcl:' .. tenant), classes)
  if not next(queues) then call('ZREM', P .. 'tenants', tenant) end
end

-- Everything is counted, and what has changed meanwhile, too.
local function end_recount(tenant)
  local queues, classes = {}, {}
  for field, number in pairs(hash_of(P .. 'recount')) do
    local class = string.match(field, '^|(%d+)$')
    if number > 0 and class then classes[class] = number elseif number > 0 then queues[field] = number end
  end
  queues.q = queued_of(sizes_of(tenant))
  settle_tenant(tenant, queues, classes)
  call('HDEL', P .. 'meta', 'recount')
  call('UNLINK', P .. 'recount')
end

-- Counts one page of a tenant's jobs, the oldest of a state first; nil at the end, or where somebody else has begun anew.
local function go_on_counting(tenant, most)
  local whose, state, created = string.match(recount or '', '^([^|]*)|(%u)|(%d+)$')
  if whose ~= tenant then return nil end
  local found = call('ZRANGE', index_of(tenant, state), '(' .. created, '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  for i = 1, #found, 2 do
    looked, created = looked + 1, int(tonumber(found[i + 1]))
    local record = call('HMGET', P .. 'j:' .. tenant .. ':' .. found[i], 'qu', 'cl')
    if record[2] then count_again(record[1] or 'default', record[2], state, 1) end
  end
  if not found[1] then
    local place = string.find(COUNTED_STATES, state) + 1
    if place > #COUNTED_STATES then return end_recount(tenant) end
    state, created = string.sub(COUNTED_STATES, place, place), '0'
  end
  recount = tenant .. '|' .. state .. '|' .. created
  call('HSET', P .. 'meta', 'recount', recount)
  return 'on'
end

-- Where to go on with the tenant; nil where its counters are right.
local function inspect_tenant(tenant, cursor, most)
  if cursor ~= '' then return go_on_counting(tenant, most) end
  local noted = hash_of(P .. 'n:' .. tenant)
  local queues, classes = tally(tenant, noted, hash_of(P .. 'tcl:' .. tenant))
  if queues then return settle_tenant(tenant, queues, classes) end
  settle_queued(tenant, noted)
  call('UNLINK', P .. 'recount')
  recount = tenant .. '|' .. string.sub(COUNTED_STATES, 1, 1) .. '|0'
  call('HSET', P .. 'meta', 'recount', recount)
  return 'on'
end

-- The counters over all tenants, from the indexes and the tenants' classes; what was left out, where there are too many.
local function inspect_totals()
  local tenants = call('ZRANGE', P .. 'tenants', 0, MOST_TENANTS)
  if tenants[MOST_TENANTS + 1] then
    return 'with more than ' .. MOST_TENANTS .. ' tenants the counters over all of them are not compared'
  end
  local states, classes, ready = {}, {}, 0
  for _, tenant in ipairs(tenants) do
    for state, size in pairs((sizes_of(tenant))) do
      if size > 0 then states[state] = (states[state] or 0) + size end
    end
    for class, number in pairs(hash_of(P .. 'tcl:' .. tenant)) do classes[class] = (classes[class] or 0) + number end
  end
  for _, class in ipairs(call('HKEYS', P .. 'classes')) do ready = ready + call('ZCARD', P .. 'age:' .. class) end
  -- Callers see LEASED as QUEUED.
  local leased = (states.Q or 0) - ready
  states.Q, states.L = ready > 0 and ready or nil, leased > 0 and leased or nil
  settle(P .. 'states', hash_of(P .. 'states'), states)
  settle(P .. 'cjobs', hash_of(P .. 'cjobs'), classes)
end

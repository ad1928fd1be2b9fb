#!lua flags=no-writes
-- List a tenant's jobs, newest first.
--
-- Item     tenant; only those created before this number, or ""; most names; number of states; the states as callers see them
--          (none: all); number of labels; "key=value"...
-- Reply    {number to go on before or "" when there are no more, name...}
local ALL = { 'W', 'Q', 'R', 'C', 'S', 'F', 'X' }
-- What one call looks at: a job, or what one is asked besides.
local MAX_LOOKS, MAX_CHUNK = 1000, 100

-- A sorted set read from its end, a chunk at a time: head is its next {id, number}, nil at the end.
local function new_source(key, before, chunk)
  local source = { key = key, bound = before == '' and '+inf' or '(' .. before, at = 0, chunk = {} }
  function source.advance()
    source.at = source.at + 2
    if source.at > #source.chunk then
      source.chunk = call('ZRANGE', key, source.bound, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, chunk, 'WITHSCORES')
      source.at = 2
    end
    source.id, source.number = source.chunk[source.at - 1], tonumber(source.chunk[source.at])
    if source.number then source.bound = '(' .. int(source.number) end
  end
  source.advance()
  return source
end

local function smallest(keys)
  local key, size
  for _, each in ipairs(keys) do
    local its = call('ZCARD', each)
    if not size or its < size then key, size = each, its end
  end
  return key, size
end

-- What to go through, and what each job found there is asked besides: the smallest label's index, unless the states have less.
local function plan(tenant, states, labels, before, chunk)
  local by_state, sum = {}, 0
  for i, state in ipairs(states[1] and states or ALL) do
    by_state[i] = P .. 'ix:' .. tenant .. ':' .. state
    sum = sum + call('ZCARD', by_state[i])
  end
  local label, size = smallest(labels)
  local sources = {}
  if label and size < sum then
    local others = {}
    for _, each in ipairs(labels) do
      if each ~= label then others[#others + 1] = each end
    end
    return { new_source(label, before, MAX_CHUNK) }, { tenant = tenant, labels = others, states = states[1] and states }
  end
  for i, key in ipairs(by_state) do sources[i] = new_source(key, before, chunk) end
  return sources, { tenant = tenant, labels = labels }
end

local function newest(sources)
  local found
  for _, source in ipairs(sources) do
    if source.id and (not found or source.number > found.number) then found = source end
  end
  return found
end

-- Whether a job is wanted, and how many looks it took to see.
local function fits(id, asked)
  local looks = 0
  if asked.states then
    looks = 1
    local state = public(call('HGET', P .. 'j:' .. asked.tenant .. ':' .. id, 'st'))
    local wanted = false
    for _, each in ipairs(asked.states) do wanted = wanted or each == state end
    if not wanted then return false, looks end
  end
  for _, key in ipairs(asked.labels) do
    looks = looks + 1
    if not call('ZSCORE', key, id) then return false, looks end
  end
  return true, looks
end

local function list(tenant, before, limit, states, labels)
  local sources, asked = plan(tenant, states, labels, before, math.min(limit + 1, MAX_CHUNK))
  local out, looks, last = { '' }, 0, ''
  local source = newest(sources)
  while source and #out <= limit and looks < MAX_LOOKS do
    local wanted, took = fits(source.id, asked)
    looks, last = looks + math.max(1, took), int(source.number)
    if wanted then out[#out + 1] = tenant .. ':' .. source.id end
    source.advance()
    source = newest(sources)
  end
  if source then out[1] = last end
  return out
end

local replies = {}
for i = 1, number() do
  local tenant, before, limit, states, labels = arg(), arg(), number(), {}, {}
  for s = 1, number() do states[s] = arg() end
  for l = 1, number() do labels[l] = P .. 'il:' .. tenant .. ':' .. arg() end
  replies[i] = list(tenant, before, limit, states, labels)
end
return replies

-- A tenant's jobs are counted again in pages, by the auditor, while they change: those that it has counted are known by state and by
-- when they were created, and whoever changes the state of one of them corrects what was counted. meta.recount says how far it is.

local UNFINISHED = { W = true, Q = true, R = true, C = true }
local COUNTED_STATES = 'WQRCSFX'

-- Adds to what was counted: by queue and state, and by class as "|class".
local function count_again(queue, class, state, number)
  call('HINCRBY', P .. 'recount', queue .. '|' .. state, number)
  if UNFINISHED[state] then call('HINCRBY', P .. 'recount', '|' .. class, number) end
end

-- A job goes from one state to another, as callers see them; nil: it comes or goes.
local function correct_recount(job, from, to)
  local tenant, state, created = string.match(recount or '', '^([^|]*)|(%u)|(%d+)$')
  if tenant ~= job.tenant then return end
  local at = string.find(COUNTED_STATES, state)
  local function is_counted(which)
    local place = which and string.find(COUNTED_STATES, which)
    return place and (place < at or place == at and tonumber(job.ct) <= tonumber(created))
  end
  if is_counted(from) then count_again(job.qu or 'default', job.cl, from, -1) end
  if is_counted(to) then count_again(job.qu or 'default', job.cl, to, 1) end
end

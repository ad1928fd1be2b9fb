-- What of a batch of jobs of one tenant, no name twice, cannot be admitted, for the verbs that admit all or none.

local function read_batch()
  local jobs = {}
  for place = 1, number() do jobs[place] = read_job() end
  return jobs
end

-- How many classes the batch may add, and which texts it was allowed or refused so far. Classes nobody uses make room, but for
-- those that the batch itself is of.
local function new_budget(admission, jobs, tenant)
  local wanted, unused = {}, 0
  for _, job in ipairs(jobs) do
    if not job.exists then wanted[call('HGET', P .. 'class_ids', job.class_text) or ''] = true end
  end
  for _, class in ipairs(unused_classes()) do
    if not wanted[class] then unused = unused + 1 end
  end
  return {
    all = admission.max_classes - call('HLEN', P .. 'classes') + unused,
    tenant = admission.max_tenant_classes - call('HLEN', P .. 'tcl:' .. tenant),
    refused = {}, allowed = {},
  }
end

-- The limit that leaves no room for this class; nil where there is room.
local function no_class(admission, budget, text, tenant)
  if budget.refused[text] or budget.allowed[text] then return budget.refused[text] end
  local class = call('HGET', P .. 'class_ids', text)
  local new_here, new = not has_class(tenant, class), not class
  if new_here and budget.tenant <= 0 then
    budget.refused[text] = int(admission.max_tenant_classes)
  elseif new and budget.all <= 0 then
    budget.refused[text] = int(admission.max_classes)
  else
    budget.allowed[text] = true
    if new_here then budget.tenant = budget.tenant - 1 end
    if new then budget.all = budget.all - 1 end
  end
  return budget.refused[text]
end

-- Why a job cannot be admitted: word and value; nil where it can. pending: how many before it will be.
local function refusal(admission, job, pending, budget)
  local free_at = spent(job.name)
  if free_at then return 'SPENT', free_at end
  local word, limit = full(admission, job.tenant, pending)
  if word then return word, limit end
  local most = no_class(admission, budget, job.class_text, job.tenant)
  if most then return 'CLASS_LIMIT', most end
end

-- What there is to refuse: {place from 1, word, value}...; job.exists is set on those that are there already. Only reads.
local function check(admission, jobs)
  for _, job in ipairs(jobs) do job.exists = call('HGET', job.key, 'dg') end
  local budget, refused, pending = new_budget(admission, jobs, jobs[1].tenant), {}, 0
  for place, job in ipairs(jobs) do
    local word, value
    if not job.exists then
      word, value = refusal(admission, job, pending, budget)
      if not word then pending = pending + 1 end
    elseif job.exists ~= job.dg then
      word, value = 'EXISTS', ''
    end
    if word then refused[#refused + 1] = { place, word, value } end
  end
  return refused
end

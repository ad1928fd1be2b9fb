#!lua flags=allow-oom
-- What a worker's record says it holds and its Hello does not: left by an older process, or never received.
--
-- Header   endings (attempt.lua)
-- Item     worker; session; epoch; random number 0..1; number of held leases; then for each: name; token
-- Reply    {"FENCED"} | {"OK", outcome of each lease that was reclaimed: "RETURNED" | "LOST" | "FAILED" | "CANCELLED" |
--          "TOTAL_TIMEOUT" | "RUN_TIMEOUT"}
local n = number()
local endings = read_endings()

local function reclaim(worker, session, epoch, random, held)
  local owner = call('HMGET', P .. 'w:' .. worker, 'ses', 'ep')
  if owner[1] ~= session or owner[2] ~= epoch then return { 'FENCED' } end
  local out = { 'OK' }
  for _, name in ipairs(call('SMEMBERS', P .. 'wl:' .. worker)) do
    local job = load(name)
    if not job then
      call('SREM', P .. 'wl:' .. worker, name)
    elseif held[name] ~= job.tk then
      out[#out + 1] = lost(job, endings, random)
    end
  end
  return out
end

local replies = {}
for i = 1, n do
  local worker, session, epoch, random, held = arg(), arg(), arg(), number(), {}
  for _ = 1, number() do
    local name = arg()
    held[name] = arg()
  end
  replies[i] = reclaim(worker, session, epoch, random, held)
end
return reply(replies)

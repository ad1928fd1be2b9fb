#!lua flags=allow-oom
-- Which server this is, said first on every new connection: before any other script runs on a server that has taken over.
-- Such a server may lack the last writes of the one before it. Tokens that were given in them are those after the clock as it
-- is found here, up to a few seconds from now, because this server's TIME may be behind that of the one before it: what is given
-- from now on is greater. Where it is further behind than that, tokens that were given at the very last lie outside, their
-- holders are told STALE, and their jobs run again: the clocks must be in step to less than this and what a failover takes.
-- Workers could not renew meanwhile, and are not dead for that.
--
-- Header   identity of the server (checks.py); lease TTL in us
-- Reply    one item: "SAME" | "NEW" (it is another server than the last time, or it was started again)
number()
local CLOCKS_APART_US = 5000000
local run, ttl = arg(), number()
local meta = call('HMGET', P .. 'meta', 'run', 'clock', 'lost_from', 'lost_to', 'frozen_until')
if meta[1] == run then return { 'SAME' } end

-- An empty store has lost nothing that could be known of: its range is empty. Where the server changes again within a TTL,
-- workers of the time before may not have been back yet.
local from = tonumber(meta[2]) or NOW
if meta[2] then clock = math.max(NOW, clock + 1) + CLOCKS_APART_US end
local to = meta[2] and clock or NOW
if count(meta[3]) < count(meta[4]) and NOW - count(meta[4]) < ttl then from = math.min(from, count(meta[3])) end
call('HSET', P .. 'meta', 'run', run, 'lost_from', int(from), 'lost_to', int(to))
if call('ZCARD', P .. 'lease') > 0 then
  call('HSET', P .. 'meta', 'frozen_until', int(math.max(NOW + ttl, count(meta[5]))))
end
return reply({ 'NEW' })

#!lua flags=no-writes
-- Figures for the metrics.
--
-- Reply    one item: {states flat, leases, {class text, ready jobs, age of the oldest in us}...}
number()
local out = { call('HGETALL', P .. 'states'), call('ZCARD', P .. 'lease') }
local classes = call('HGETALL', P .. 'classes')
for i = 1, #classes, 2 do
  local oldest = call('ZRANGE', P .. 'age:' .. classes[i], 0, 0, 'WITHSCORES')
  local age = oldest[2] and math.max(0, NOW - tonumber(oldest[2])) or 0
  out[#out + 1] = { classes[i + 1], call('ZCARD', P .. 'age:' .. classes[i]), int(age) }
end
return { out }

#!lua flags=no-writes
-- Read jobs.
--
-- Item     name; "1" with the spec, "0" without
-- Reply    the dump, or false where there is none
local replies = {}
for i = 1, number() do
  local name = arg()
  replies[i] = dump(name, arg() == '1')
end
return replies

-- The list of workers that are connected.

-- Takes a worker off it.
local function unlist(worker)
  call('ZREM', P .. 'workers', worker)
  call('UNLINK', P .. 'wo:' .. worker)
end

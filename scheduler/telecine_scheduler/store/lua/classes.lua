#!lua flags=no-writes
-- The table of classes.
--
-- Reply    one item: {class id, class text...}
number()
return { call('HGETALL', P .. 'classes') }

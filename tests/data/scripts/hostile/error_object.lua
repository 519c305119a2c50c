return { kind = 'scheduler', name = 'a', run = function(ctx, p) error({ message = 'x', [1] = {}, __tostring = function() while true do end end, __index = function() while true do end end }) end }

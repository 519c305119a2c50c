return { kind = 'scheduler', name = 'a', run = function(ctx, p) return setmetatable({ 1, 0 }, { __index = function() return 1 end }) end }

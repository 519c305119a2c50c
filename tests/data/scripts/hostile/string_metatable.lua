return { kind = 'scheduler', name = 'a', run = function(ctx, p) return getmetatable('').__index.rep('x', 10) end }

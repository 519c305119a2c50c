return { kind = 'scheduler', name = 'a', run = function(ctx, p) rawset(_G, 'x', 1) return { 1, 0 } end }

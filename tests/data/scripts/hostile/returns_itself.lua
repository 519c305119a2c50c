return { kind = 'scheduler', name = 'a', run = function(ctx, p) local t = { 1 } t[2] = t return t end }

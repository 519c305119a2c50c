return { kind = 'scheduler', name = 'a', run = function(ctx, p) local t = { 1, 2, 3 } for k in next, t do t[#t + 1] = k t['k' .. #t] = k end return t end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) local t = {} for i = 1, 1e6 do t[i] = 1 - i / 1e6 end return t end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) local t = {} for i = 1, 1000000 do t[i] = i end for i = 1, 1000000 do t[i] = nil end while true do next(t) end end }

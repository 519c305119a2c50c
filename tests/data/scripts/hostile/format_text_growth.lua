return { kind = 'scheduler', name = 'a', run = function(ctx, p) local s = 'x' while true do s = string.format('%s%s', s, s) end end }

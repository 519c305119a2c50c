return { kind = 'scheduler', name = 'a', run = function(ctx, p) local s = ('a'):rep(1 << 20) while true do s:find(('a'):rep(1 << 19) .. 'b', 1, true) end end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) local t = {} while true do t[#t + 1] = ('x'):rep(1 << 19) .. #t end end }

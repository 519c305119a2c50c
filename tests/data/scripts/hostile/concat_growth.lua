return { kind = 'scheduler', name = 'a', run = function(ctx, p) local t = { ('x'):rep(1 << 19) } while true do t[#t + 1] = table.concat(t) end end }

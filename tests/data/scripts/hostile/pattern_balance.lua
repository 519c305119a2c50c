return { kind = 'scheduler', name = 'a', run = function(ctx, p) while true do pcall(string.find, ('('):rep(1 << 20), '%b()') end end }

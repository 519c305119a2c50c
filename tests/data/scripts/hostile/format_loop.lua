return { kind = 'scheduler', name = 'a', run = function(ctx, p) local big = ('x'):rep(1 << 20) while true do pcall(string.format, '%q%s%s', big, big, big) end end }

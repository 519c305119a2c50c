return { kind = 'scheduler', name = 'a', run = function(ctx, p) while true do pcall(string.find, ('a'):rep(1 << 20), '[' .. ('b'):rep(1 << 19) .. ']') end end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) while true do pcall(string.find, ('a'):rep(1 << 20), '^(a*).-%1%1%1b') end end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) local s = ('x'):rep(1 << 20) while true do pcall(utf8.offset, s, -1) pcall(utf8.codepoint, s, 1, 200000) end end }

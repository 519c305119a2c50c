return { kind = 'scheduler', name = 'a', run = function(ctx, p) return ('x'):rep(1000):gsub('.', function(c) return c:rep(1 << 20) end) end }

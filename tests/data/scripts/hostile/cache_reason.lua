return { kind = 'cache', name = 'a', decide = function(ctx) return true, ('x'):rep(1 << 20):rep(64) end }

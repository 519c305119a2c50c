return { kind = 'scheduler', name = 'a', run = function(ctx, p) local function f(c) return (c:gsub('.', f)) end return f('x') end }

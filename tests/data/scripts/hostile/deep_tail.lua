return { kind = 'scheduler', name = 'a', run = function(ctx, p) local function f(n) return f(n + 1) end return f(1) end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) local function f(n) local a, b, c, d, e = n, n, n, n, n return f(n + 1) + a + b + c + d + e end return f(1) end }

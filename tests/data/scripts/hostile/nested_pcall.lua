return { kind = 'scheduler', name = 'a', run = function(ctx, p) local function f(n) if n == 0 then while true do end end return pcall(f, n - 1) end return f(150) end }

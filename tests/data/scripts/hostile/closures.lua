return { kind = 'scheduler', name = 'a', run = function(ctx, p) local function f(g) return function() return pcall(g) end end local g = f(error) while true do g = f(g) g() end end }

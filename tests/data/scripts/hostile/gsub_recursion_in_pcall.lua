return { kind = 'scheduler', name = 'a', run = function(ctx, p) local function f(c) while true do pcall(string.gsub, c, '.', f) end end return f('xy') end }

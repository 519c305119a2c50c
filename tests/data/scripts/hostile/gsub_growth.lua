return { kind = 'scheduler', name = 'a', run = function(ctx, p) local s = 'xx' while true do s = s:gsub('x', 'xx') end end }

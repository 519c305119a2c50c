return { kind = 'scheduler', name = 'a', run = function(ctx, p) local e = {} while true do local ok, x = pcall(error, e) e = { x } end end }

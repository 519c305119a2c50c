return { kind = 'scheduler', name = 'a', run = function(ctx, p) local a = ('\0'):rep(1 << 20) for i = 1, 3 do a = a .. a end local b = a .. 'x' while true do local c = a < b end end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) local i = 0 ::top:: i = i + 1 pcall(error) if i ~= 0 then goto top end end }

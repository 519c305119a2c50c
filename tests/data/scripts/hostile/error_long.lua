return { kind = 'scheduler', name = 'a', run = function(ctx, p) local s = 'x' for i = 1, 22 do s = s .. s end error(s) end }

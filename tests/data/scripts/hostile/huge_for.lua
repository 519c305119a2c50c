return { kind = 'scheduler', name = 'a', run = function(ctx, p) for i = math.mininteger, math.maxinteger do local t = { i } end end }

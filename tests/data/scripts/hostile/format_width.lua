return { kind = 'scheduler', name = 'a', run = function(ctx, p) return string.format('%999999999d', 1) end }

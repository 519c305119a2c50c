return { kind = 'scheduler', name = 'a', run = function(ctx, p) local x <close> = { __close = function() while true do end end } return { 1, 0 } end }

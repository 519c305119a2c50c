return { kind = 'scheduler', name = 'a', run = function(ctx, p) error() end }

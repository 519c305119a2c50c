return { kind = 'scheduler', name = 'a', run = function(ctx, p) return coroutine.create(function() end) end }

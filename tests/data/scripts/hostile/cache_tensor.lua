return { kind = 'cache', name = 'a', decide = function(ctx) return ctx.change * {} > 1 end }

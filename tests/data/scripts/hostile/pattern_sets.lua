return { kind = 'scheduler', name = 'a', run = function(ctx, p) return (('a'):rep(1 << 20)):find('[' .. ('b'):rep(1 << 19) .. ']') end }

return { kind = 'scheduler', name = 'a', run = function(ctx, p) local big = ('x'):rep(1 << 20) return (('%s'):rep(200)):format(table.unpack({ big, big, big }, 1, 3)) end }

local s = ('x'):rep(1 << 20) return { kind = 'scheduler', name = 'a', doc = s .. s .. s, run = type }

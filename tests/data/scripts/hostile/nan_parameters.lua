return { kind = 'scheduler', name = 'a', params = { { name = 'x', type = 'FLOAT', default = 0 / 0 } }, run = type }

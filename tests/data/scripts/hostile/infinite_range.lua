return { kind = 'scheduler', name = 'a', params = { { name = 'x', type = 'FLOAT', default = 1, min = 1 / 0, max = -1 / 0 } }, run = type }

local row = { name = 'x', type = 'COMBO' } row.options = { row } return { kind = 'scheduler', name = 'a', params = { row }, run = type }

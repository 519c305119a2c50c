local r = {} for i = 1, 1000 do r[i] = { name = 'x' .. i, type = 'FLOAT' } end
return { kind = 'scheduler', name = 'a', params = r, run = type }

local s, o = ('x'):rep(1 << 20), {} for i = 1, 4096 do o[i] = s end
return { kind = 'scheduler', name = 'a', params = { { name = 'x', type = 'COMBO', options = o } }, run = type }

return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) local t, n = {}, x:amax({ 1, 2, 3, 4 }) for i = 1, 1e9 do t[i] = n + i end end }

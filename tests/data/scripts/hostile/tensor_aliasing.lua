return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) local y = x y[1] = 2 return y end }

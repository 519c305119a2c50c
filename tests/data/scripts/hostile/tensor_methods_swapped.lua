return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) return x.sum(m) + x.lerp(sigmas, x, 2) end }

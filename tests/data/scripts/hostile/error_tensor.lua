return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) error(x) end }

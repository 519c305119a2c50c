return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) return x:sum({ 0 / 0 }) end }

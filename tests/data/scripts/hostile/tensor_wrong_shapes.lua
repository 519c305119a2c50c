return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) return x + x:sum({ 1 }):sum({ 2 }) * m:noise():quantile(0.5, { 0 }) end }

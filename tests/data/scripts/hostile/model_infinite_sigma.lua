return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) return m:denoise(x, 1e300) end }

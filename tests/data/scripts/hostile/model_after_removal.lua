return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) local d = m.denoise m = nil return d(m, x, 1) end }

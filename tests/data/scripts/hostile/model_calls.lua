return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) for i = 1, 1e9 do m:denoise(x, 0.5) end end }

return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) while true do x = (x * 1 / 1):clone() end end }

return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) while true do x = (x * 1.0001):exp():sqrt():clamp(-1, 1):lerp(x, 0.5) end end }

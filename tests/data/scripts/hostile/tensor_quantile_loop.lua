return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) while true do local a = x * x:sum({ 3, 4 }) x = x:max(-a:quantile(0.37, { 2, 3, 4 })):min(1) end end }

return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p) local a = x:sum({ 3 }) local b = x:sum({ 4 }) local t = {} while true do t[#t + 1] = (a * b) * x end end }

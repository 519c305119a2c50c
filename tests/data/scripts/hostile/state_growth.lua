return { kind = 'guidance', name = 'a', run = function(t, p, ctx)
  for i = 1, 1e9 do ctx.state[#ctx.state + 1] = ctx.x * i end end }

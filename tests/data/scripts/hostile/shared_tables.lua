return { kind = 'guidance', name = 'a', run = function(t, p, ctx)
  ctx.sigmas[1], ctx.state.p, ctx.cfg = nil, p, {} for i = 1, 1e9 do p[i] = ctx end end }

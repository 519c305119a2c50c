-- Every function of guidance, sharing ctx.state.
local calls = 0
return { kind = "guidance", name = "all_functions", uncond = true,
  params = { { name = "scale", type = "FLOAT", default = 3, min = 0, max = 30 } },
  run = function(t, p, ctx)
    calls = calls + 1
    ctx.state.run = (ctx.state.run or 0) + 1
    assert(calls == ctx.state.run and ctx.step < ctx.steps and #ctx.sigmas == ctx.steps + 1)
    assert(ctx.guider_cfg == ctx.cfg and math.abs(ctx.percent - (1 - t)) < 1e-12)
    return p.scale
  end,
  pre = function(cond, uncond, t, p, ctx)
    ctx.state.pre = cond
    return cond * 1.0, uncond
  end,
  combine = function(cond, uncond, t, p, ctx)
    assert((cond - ctx.state.pre):abs():amax() == 0 and ctx.cfg == p.scale)
    return uncond:lerp(cond, ctx.cfg)
  end,
  post = function(x0, cond, uncond, t, p, ctx)
    assert(not ctx.uncond_skipped and #ctx.x:shape() == 4)
    return x0:clamp(-50, 50)
  end }

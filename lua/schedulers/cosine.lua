-- cosine - noise levels along a quarter of a cosine.
-- Definition: sigma_i = sigma_max cos(pi/2 i/steps)^power, the last one 0.

return {
  kind = "scheduler",
  name = "cosine",
  doc = "Cosine spacing of sigma.",
  params = {
    { name = "power", type = "FLOAT", default = 1.0, min = 0.1, max = 8.0, step = 0.1, doc = "Bend of the curve." },
  },
  run = function(ctx, p)
    local s = {}
    for i = 0, ctx.steps do
      s[i + 1] = ctx.sigma_max * math.cos(i / ctx.steps * math.pi / 2) ^ p.power
    end
    s[ctx.steps + 1] = 0
    return s
  end,
}

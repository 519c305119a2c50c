-- velocity - equal steps of model time under a shift, as flow models are trained.
-- Definition: sigma = s t / (1 + (s - 1) t) on t = linspace(1, 0, steps + 1).
-- Source of the shift: "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", section 5.3.2.
-- mode auto: s = 3.5 below 10 steps, else 3. mode model: the model's own map of time. mode manual: `shift`.

return {
  kind = "scheduler",
  name = "velocity",
  doc = "Equal steps of model time under a shift chosen by the number of steps.",
  params = {
    { name = "mode", type = "COMBO", options = { "auto", "model", "manual" }, doc = "Where the shift comes from." },
    { name = "shift", type = "FLOAT", default = 3.0, min = 0.01, max = 100.0, step = 0.01, doc = "Shift of mode manual." },
  },
  run = function(ctx, p)
    local s = p.mode == "manual" and p.shift or ctx.steps < 10 and 3.5 or 3.0
    local sigmas = {}
    for i = 0, ctx.steps do
      local t = (ctx.steps - i) / ctx.steps
      sigmas[i + 1] = p.mode == "model" and ctx.sigma(t) or s * t / (1 + (s - 1) * t)
    end
    return sigmas
  end,
}

-- cfg_norm - keeps each pixel of the guided estimate as short as the conditional one.
-- Definition: x0 * clamp(|P| / (|x0| + 1e-8), 0, 1) * strength, norms over channels at each pixel.

return {
  kind = "guidance",
  name = "cfg_norm",
  doc = "Keeps each pixel of the guided estimate as short as the conditional one.",
  params = {
    { name = "strength", type = "FLOAT", default = 1.0, min = 0.0, max = 100.0, step = 0.01, doc = "Factor on the result." },
  },
  post = function(x0, cond, uncond, t, p, ctx)
    return x0 * (cond:norm({ 2 }) / (x0:norm({ 2 }) + 1e-8)):clamp(0, 1) * p.strength
  end,
}

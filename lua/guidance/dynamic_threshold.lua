-- dynamic_threshold - clips the guided estimate at a percentile of its magnitude and scales it back.
-- Source: "Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding", dynamic thresholding.
-- Per picture s = max(min_s, quantile(|x0|)); x0 = clip(x0, -s, s) / s. Runs after the guidance itself.

return {
  kind = "guidance",
  name = "dynamic_threshold",
  doc = "Clips the guided estimate at a percentile of its magnitude.",
  params = {
    { name = "percentile", type = "FLOAT", default = 99.5, min = 0.0, max = 100.0, step = 0.1, doc = "Share of values that stay unclipped." },
    { name = "min_s", type = "FLOAT", default = 1.0, min = 0.0, max = 1000.0, step = 0.1, doc = "Smallest limit." },
  },
  post = function(x0, cond, uncond, t, p, ctx)
    local s = x0:abs():quantile(p.percentile / 100, { 2, 3, 4 }):max(p.min_s)
    return x0:max(-s):min(s) / s
  end,
}

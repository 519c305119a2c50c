-- euler - Euler's method along the probability flow; the bits of the built-in sampler.
-- Source: "Elucidating the Design Space of Diffusion-Based Generative Models", algorithm 2 without churn.

return {
  kind = "sampler",
  name = "euler",
  doc = "Euler's method, one model call per step.",
  run = function(m, x, sigmas, p)
    for i = 1, #sigmas - 1 do
      local s, t = sigmas[i], sigmas[i + 1]
      local x0 = m:denoise(x, s)
      m:step(i - 1, x, x0)
      x = x + (x - x0) / s * (t - s)
    end
    return x
  end,
}

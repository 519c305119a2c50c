-- heun - Heun's method of second order; the bits of the built-in sampler.
-- Source: "Elucidating the Design Space of Diffusion-Based Generative Models", algorithm 1.

return {
  kind = "sampler",
  name = "heun",
  doc = "Heun's method of second order, two model calls per step.",
  run = function(m, x, sigmas, p)
    for i = 1, #sigmas - 1 do
      local s, t = sigmas[i], sigmas[i + 1]
      local dt = math.f32(t - s)
      local x0 = m:denoise(x, s)
      local d = (x - x0) / s
      local x2 = x + d * dt
      local ahead = x2
      if t > 0 then
        local d2 = (x2 - m:denoise(x2, t)) / t
        ahead = x + d * (dt / 2) + d2 * (dt / 2)
      end
      m:step(i - 1, x, x0)
      x = ahead
    end
    return x
  end,
}

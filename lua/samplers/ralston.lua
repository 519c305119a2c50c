-- ralston - the second-order Runge-Kutta method with the smallest error bound.
-- Source: A. Ralston, "Runge-Kutta Methods with Minimum Error Bounds": slopes at the start and at two thirds of the
-- step, weighted 1/4 and 3/4. No built-in sampler takes its second slope there.

return {
  kind = "sampler",
  name = "ralston",
  doc = "Ralston's method of second order, two model calls per step.",
  run = function(m, x, sigmas, p)
    for i = 1, #sigmas - 1 do
      local s, t = sigmas[i], sigmas[i + 1]
      local dt = t - s
      local x0 = m:denoise(x, s)
      local d = (x - x0) / s
      local between = s + dt * 2 / 3
      local x2 = x + d * (dt * 2 / 3)
      local d2 = (x2 - m:denoise(x2, between)) / between
      m:step(i - 1, x, x0)
      x = x + (d * 0.25 + d2 * 0.75) * dt
    end
    return x
  end,
}

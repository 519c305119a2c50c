-- linear_quadratic - small straight steps for the first half, then a parabola.
-- Source: "Movie Gen: A Cast of Media Foundation Models", linear-quadratic t-schedule.
-- With n steps, l = floor(n/2) and threshold h: 1 - sigma is i h / l for i < l, then the parabola that goes on with
-- the same slope and reaches 1 at i = n.

return {
  kind = "scheduler",
  name = "linear_quadratic",
  doc = "Small straight steps for the first half, then a parabola.",
  params = {
    { name = "threshold", type = "FLOAT", default = 0.025, min = 0.0001, max = 0.9, step = 0.001, doc = "Noise removed by the straight half." },
  },
  run = function(ctx, p)
    local n, h = ctx.steps, p.threshold
    if n == 1 then return { ctx.sigma_max, 0 } end
    local l = n // 2
    local quadratic_steps, difference = n - l, l - h * n
    local a = difference / (l * quadratic_steps ^ 2)
    local b = h / l - 2 * difference / quadratic_steps ^ 2
    local c = a * l ^ 2
    local sigmas = {}
    for i = 0, n - 1 do
      local done = i < l and i * h / l or a * i ^ 2 + b * i + c
      sigmas[i + 1] = (1 - done) * ctx.sigma_max
    end
    sigmas[n + 1] = 0
    return sigmas
  end,
}

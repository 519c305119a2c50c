-- ctx.time is the inverse of ctx.sigma; math.beta_inverse places the steps.
return { kind = "scheduler", name = "beta_of_mine", params = {
  { name = "alpha", type = "FLOAT", default = 0.6, min = 0.1, max = 5 },
  { name = "beta", type = "FLOAT", default = 0.6, min = 0.1, max = 5 },
}, run = function(ctx, p)
  local s = {}
  for i = 0, ctx.steps - 1 do
    local t = math.beta_inverse(p.alpha, p.beta, 1 - i / ctx.steps)
    local sigma = ctx.sigma(t)
    assert(math.abs(ctx.time(sigma) - t) < 1e-3, "time is the inverse of sigma")
    s[i + 1] = sigma
  end
  s[ctx.steps + 1] = 0
  assert(ctx.denoise == 1 and math.type(ctx.steps) == "integer")
  return s
end }

-- Karras spacing between the model's own ends ("Elucidating the Design Space of Diffusion-Based Generative Models").
local M = { kind = "scheduler", name = "my_karras", category = "my/schedules", display = "Karras of mine" }
M.params = { { name = "rho", type = "FLOAT", default = 7, min = 0.5, max = 20, step = 0.5 } }
function M.run(ctx, p)
  local lo, hi = ctx.sigma_min ^ (1 / p.rho), ctx.sigma_max ^ (1 / p.rho)
  local out = table.pack()
  out.n = nil
  for i = 0, ctx.steps - 1 do
    local u = ctx.steps > 1 and i / (ctx.steps - 1) or 0
    table.insert(out, (hi + u * (lo - hi)) ^ p.rho)
  end
  table.insert(out, 0)
  return out
end
return M

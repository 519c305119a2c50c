-- The sum in a local of the file.
local acc = 0
return { kind = "cache", name = "summed", params = { { name = "threshold", type = "FLOAT", default = 0.1, min = 0, max = 5 } },
  decide = function(ctx, p)
    if ctx.step == 0 or ctx.step == ctx.steps - 1 then acc = 0 return true end
    acc = acc + ctx.change
    if acc < p.threshold then return false end
    acc = 0
    return true
  end }

-- At most half of the steps are computed, where the levels fall fastest.
return { kind = "cache", name = "half", params = {}, decide = function(ctx)
  local s = ctx.state
  if not s.order then
    s.order = {}
    for i = 1, ctx.steps do s.order[i] = { i - 1, ctx.sigmas[i] and ctx.sigmas[i] - (ctx.sigmas[i + 1] or 0) or 0 } end
    table.sort(s.order, function(a, b) return a[2] > b[2] or a[2] == b[2] and a[1] < b[1] end)
    s.keep = {}
    for i = 1, (ctx.steps + 1) // 2 do s.keep[s.order[i][1]] = true end
  end
  local why = ctx.step == 0 and "computes " .. (ctx.steps + 1) // 2 .. " of " .. ctx.steps .. " steps" or nil
  return s.keep[ctx.step] == true or not ctx.kept, why
end }

local kept
return { kind = 'guidance', name = 'a', combine = function(c, u, t, p, ctx)
  kept = kept or { c, u, ctx.x } for i = 1, 1e9 do kept[#kept + 1] = kept[1] + kept[2] * i end end }

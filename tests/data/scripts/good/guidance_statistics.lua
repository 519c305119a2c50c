-- Keeps mean and deviation per channel at the conditional estimate's.
return { kind = "guidance", name = "keep_moments",
  post = function(x0, cond)
    local d = { 3, -1 }
    local m, s = x0:mean(d), x0:std(d):max(1e-6)
    local out = (x0 - m) / s * cond:std(d) + cond:mean(d)
    local q = out:quantile(0.5, { 2, 3, 4 })
    assert(#q:shape() == 4 and q:amin() <= q:amax())
    return -(-out)
  end }

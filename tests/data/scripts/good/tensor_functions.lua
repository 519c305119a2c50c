-- Every method of a tensor.
return { kind = "sampler", name = "methods", run = function(m, x, sigmas)
  local one = x * 0 + 1
  local n = one:sum()
  assert(one:mean() == 1 and one:std() == 0 and one:norm() == math.f32(math.sqrt(n)) and one:amin() == 1 and one:amax() == 1)
  assert((one * 4):sqrt():sum() == 2 * n and (one - 1):exp():sum() == n and (-one):abs():sum() == n)
  assert(one:clone():lerp(one * 3, 0.5):sum() == 2 * n and one:lerp(3 * one, one):sum() == 3 * n)
  assert((one / 2 + 2 / one - 0.5):sum() == 2 * n and one:min(one * 0.5):max(0.25):sum() == n / 2)
  assert(one:quantile(0.5) == 1 and one:quantile(0, { 1, 2, 3, 4 }):sum() == 1 and one:clamp(2, 3):sum() == 2 * n)
  local s = x:shape()
  for _, f in ipairs({ "sum", "mean", "std", "norm", "amin", "amax" }) do
    local r = x[f](x, { 2, 3, 4 }):shape()
    assert(r[1] == s[1] and r[2] == 1 and r[3] == 1 and r[4] == 1, f)
  end
  assert(tostring(x):find("tensor", 1, true) == 1 and x.nothing == nil and not pcall(function() x[1] = 2 end))
  assert(not pcall(function() return x + {} end) and not pcall(function() return x < x end))
  return x
end }

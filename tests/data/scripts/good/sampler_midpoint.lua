-- Explicit midpoint, with a class in the style of closures.
local function Derivative(m)
  return function(x, sigma) return (x - m:denoise(x, sigma)) / sigma end
end
return { kind = "sampler", name = "midpoint", run = function(m, x, sigmas, p)
  local d = Derivative(m)
  for i = 1, #sigmas - 1 do
    local s, n = sigmas[i], sigmas[i + 1]
    if n == 0 then
      local x0 = m:denoise(x, s)
      m:step(i - 1, x, x0)
      x = x0
    else
      local h = n - s
      local k = d(x, s)
      local y = d(x + k * (h / 2), s + h / 2)
      m:step(i - 1, x, x - y * s)
      x = x + y * h
    end
  end
  return x
end }

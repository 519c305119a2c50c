-- Adams-Bashforth over the last derivatives, kept in a table.
local weights = { { 1 }, { 3 / 2, -1 / 2 }, { 23 / 12, -16 / 12, 5 / 12 } }
return { kind = "sampler", name = "adams", params = { { name = "order", type = "INT", default = 3, min = 1, max = 3 } },
  run = function(m, x, sigmas, p)
    local past = {}
    for i = 1, #sigmas - 1 do
      local x0 = m:denoise(x, sigmas[i])
      m:step(i - 1, x, x0)
      table.insert(past, 1, (x - x0) / sigmas[i])
      while #past > p.order do table.remove(past) end
      local sum
      for k, w in ipairs(weights[#past]) do sum = sum and sum + past[k] * w or past[k] * w end
      x = x + sum * (sigmas[i + 1] - sigmas[i])
    end
    return x
  end }

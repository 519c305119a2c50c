-- Ancestral-like: goes down further and adds fresh noise.
return { kind = "sampler", name = "churned", params = { { name = "eta", type = "FLOAT", default = 0.3, min = 0, max = 1 },
  { name = "seed_shift", type = "INT", default = 0, min = 0, max = 100 } },
  run = function(m, x, sigmas, p)
    local shape = x:shape()
    assert(#shape == 4 and shape[1] >= 1)
    for i = 1, #sigmas - 1 do
      local here, next_one = sigmas[i], sigmas[i + 1]
      local x0 = m:denoise(x, here)
      m:step(i - 1, x, x0)
      if m.uncond then assert(#m.uncond:shape() == 4) end
      local down = next_one * (1 - p.eta)
      x = x0 + (x - x0) / here * down
      if next_one > 0 then x = x + m:noise() * math.sqrt(math.max(next_one ^ 2 - down ^ 2, 0)) * math.random() end
    end
    return x
  end }

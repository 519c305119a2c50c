return { kind = "node", name = "resampled", inputs = { { name = "sigmas", type = "SIGMAS" }, { name = "steps", type = "INT", default = 3, min = 1, max = 100 } },
  outputs = { { name = "SIGMAS", type = "SIGMAS" }, { name = "tensor", type = "SIGMAS" } },
  run = function(i)
    local s, out = i.sigmas, {}
    local n = #s - 1
    for k = 0, i.steps do
      local u = k / i.steps * n
      local j = math.min(math.floor(u), n - 1)
      out[k + 1] = s[j + 1] + (u - j) * (s[j + 2] - s[j + 1])
    end
    assert(s[0] == nil and s[n + 2] == nil)
    return { out, s * 0.5 }
  end }

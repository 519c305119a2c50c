return { kind = "node", name = "mixed", inputs = { { name = "a", type = "LATENT" }, { name = "b", type = "LATENT" },
  { name = "weight", type = "FLOAT", default = 0.25, min = 0, max = 1 } },
  outputs = { { name = "LATENT", type = "LATENT" }, { name = "same", type = "LATENT" }, { name = "norm", type = "FLOAT" } },
  run = function(i)
    local mix = i.a.samples:lerp(i.b, i.weight)
    assert(mix:norm() > 0 and i.a.noise_mask == nil)
    return { { samples = mix, noise_mask = mix:mean({ 2 }):abs():clamp(0, 1) }, i.a, (i.a - i.b):norm() }
  end }

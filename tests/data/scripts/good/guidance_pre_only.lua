return { kind = "guidance", name = "louder", doc = "Makes the prompt louder.", params = {
  { name = "gain", type = "FLOAT", default = 1.1, min = 0.5, max = 2 } },
  pre = function(cond, uncond, t, p) return cond * p.gain end }

-- dpmpp_2m - DPM-Solver++(2M); the bits of the built-in sampler.
-- Source: "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", algorithm 2.
-- Coefficients are computed in single precision, step by step, as the built-in does.

local f32 = math.f32

return {
  kind = "sampler",
  name = "dpmpp_2m",
  doc = "DPM-Solver++ of second order, multistep; one model call per step.",
  run = function(m, x, sigmas, p)
    local old, h_last
    for i = 1, #sigmas - 1 do
      local s, t = sigmas[i], sigmas[i + 1]
      local h = f32(-math.logf(t) + math.logf(s))
      local x0 = m:denoise(x, s)
      m:step(i - 1, x, x0)
      local keep = -math.expm1f(-h)
      if t == 0 then
        x = x0
      elseif not old then
        x = x * f32(t / s) + x0 * keep
      else
        local c = f32(1 / f32(2 * f32(h_last / h)))
        x = x * f32(t / s) + x0 * f32(keep * f32(1 + c)) + old * f32(-keep * c)
      end
      old, h_last = x0, h
    end
    return x
  end,
}

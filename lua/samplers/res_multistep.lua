-- res_multistep - refined exponential solver of second order, multistep; the bits of the built-in sampler.
-- Source: "Improved Order Analysis and Design of Exponential Integrator for Diffusion Models Sampling".

local f32 = math.f32
local LARGEST = 3.4028234663852886e38

-- NaN becomes 0, infinities the largest float.
local function tame(v)
  if v ~= v then return 0 end
  return math.max(-LARGEST, math.min(LARGEST, v))
end

return {
  kind = "sampler",
  name = "res_multistep",
  doc = "Refined exponential solver of second order, multistep; one model call per step.",
  run = function(m, x, sigmas, p)
    local old
    for i = 1, #sigmas - 1 do
      local s, t = sigmas[i], sigmas[i + 1]
      local x0 = m:denoise(x, s)
      m:step(i - 1, x, x0)
      if t == 0 or not old then
        x = x + (x - x0) / s * (t - s)
      else
        local h = f32(-math.logf(t) + math.logf(s))
        local c2 = f32(f32(-math.logf(sigmas[i - 1]) + math.logf(s)) / h)
        local p1 = f32(math.expm1f(-h) / -h)
        local p2 = f32(f32(p1 - 1) / -h)
        local b1 = tame(f32(p1 - f32(p2 / c2)))
        local b2 = tame(f32(p2 / c2))
        x = x * math.expf(-h) + x0 * f32(h * b1) + old * f32(h * b2)
      end
      old = x0
    end
    return x
  end,
}

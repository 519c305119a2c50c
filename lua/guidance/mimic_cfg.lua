-- mimic_cfg - strong guidance that keeps the range of a weaker one.
-- Definition: the widely used extension of dynamic thresholding. dyn = U + w (P - U), mim = U + wm (P - U);
-- dyn is brought into mim's range, per channel or over all channels of a picture.
-- AD: clipped at max(max|mim|, quantile|dyn|), then scaled to max|mim|. STD: scaled to mim's deviation.

local function scheduled(mode, scale, low, power, u)
  local f = 1
  if mode == "Linear Down" then f = 1 - u end
  if mode == "Linear Up" then f = u end
  if mode == "Cosine Down" then f = math.cos(u * math.pi / 2) end
  if mode == "Cosine Up" then f = 1 - math.cos(u * math.pi / 2) end
  if mode == "Power Down" then f = (1 - u) ^ power end
  if mode == "Power Up" then f = u ^ power end
  if mode == "Constant" then return scale end
  return low + (scale - low) * f
end

local function in_range(dyn, mim, p, dims)
  if p.variability == "STD" then return dyn * (mim:std(dims) / dyn:std(dims)) end
  local most = mim:abs():amax(dims)
  local limit = dyn:abs():quantile(p.percentile, dims):max(most)
  return dyn:max(-limit):min(limit) * most / limit
end

local modes = { "Constant", "Linear Down", "Linear Up", "Cosine Down", "Cosine Up", "Power Down", "Power Up" }

return {
  kind = "guidance",
  name = "mimic_cfg",
  doc = "Guides strongly, with the range of values that a weaker guidance would give.",
  params = {
    { name = "mimic_scale", type = "FLOAT", default = 7.0, min = 0.0, max = 100.0, step = 0.5, doc = "Scale whose range is kept." },
    { name = "percentile", type = "FLOAT", default = 1.0, min = 0.0, max = 1.0, step = 0.001, doc = "Quantile of the magnitude at which values are clipped." },
    { name = "mimic_mode", type = "COMBO", options = modes, doc = "How mimic_scale runs over the steps." },
    { name = "mimic_scale_min", type = "FLOAT", default = 0.0, min = 0.0, max = 100.0, step = 0.5, doc = "Its lower end." },
    { name = "cfg_mode", type = "COMBO", options = modes, doc = "How the guider's scale runs over the steps." },
    { name = "cfg_scale_min", type = "FLOAT", default = 0.0, min = 0.0, max = 100.0, step = 0.5, doc = "Its lower end." },
    { name = "power", type = "FLOAT", default = 1.0, min = 0.0, max = 100.0, step = 0.1, doc = "Exponent of the Power modes." },
    { name = "separate_channels", type = "BOOLEAN", default = true, doc = "A range per channel rather than one for all." },
    { name = "center_mean", type = "BOOLEAN", default = true, doc = "Measure around each channel's mean." },
    { name = "variability", type = "COMBO", options = { "AD", "STD" }, doc = "Largest magnitude, or standard deviation." },
    { name = "phi", type = "FLOAT", default = 1.0, min = 0.0, max = 1.0, step = 0.01, doc = "Share of the result against plain guidance." },
  },
  combine = function(cond, uncond, t, p, ctx)
    local u = ctx.steps > 1 and ctx.step / (ctx.steps - 1) or 0
    local w = scheduled(p.cfg_mode, ctx.cfg, p.cfg_scale_min, p.power, u)
    local wm = scheduled(p.mimic_mode, p.mimic_scale, p.mimic_scale_min, p.power, u)
    local dims = p.separate_channels and { 3, 4 } or { 2, 3, 4 }
    local plain, mim = uncond:lerp(cond, w), uncond:lerp(cond, wm) -- U + (P - U) w
    local dyn, mean = plain, nil
    if p.center_mean then
      mean = plain:mean({ 3, 4 })
      dyn, mim = plain - mean, mim - mim:mean({ 3, 4 })
    end
    local r = in_range(dyn, mim, p, dims)
    if mean then r = r + mean end
    return r * p.phi + plain * (1 - p.phi)
  end,
}

-- rescale_cfg - guidance whose deviation is pulled back to the conditional estimate's.
-- Source: "Common Diffusion Noise Schedules and Sample Steps are Flawed", section on classifier-free guidance.
-- Works on v of a variance-preserving model, whatever the model is, as the node of that name does.

return {
  kind = "guidance",
  name = "rescale_cfg",
  doc = "Pulls the deviation of the guided estimate back to the conditional one.",
  params = {
    { name = "multiplier", type = "FLOAT", default = 0.7, min = 0.0, max = 1.0, step = 0.01, doc = "Share of the rescaled estimate." },
  },
  combine = function(cond, uncond, t, p, ctx)
    local sigma, dims = ctx.sigma, { 2, 3, 4 }
    local square = math.f32(math.f32(sigma * sigma) + 1)
    local root = math.f32(math.sqrt(square))
    local to_v = math.f32(root / sigma)
    local y = ctx.x / square
    local vp, vu = (y - cond) * to_v, (y - uncond) * to_v
    local c = vu:lerp(vp, ctx.cfg)
    local f = c * (vp:std(dims) / c:std(dims)) * p.multiplier + c * (1 - p.multiplier)
    return y - f * sigma / root
  end,
}

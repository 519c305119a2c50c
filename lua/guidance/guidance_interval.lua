-- guidance_interval - guidance only within a part of the way.
-- Source: "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion Models".
-- Inside [start, end] the scale stays as it is; outside it is 1, and the unconditional pass is not computed.

local NEAR = 1e-6 -- sigmas are float32: a step that stands on an end counts as inside

return {
  kind = "guidance",
  name = "guidance_interval",
  doc = "Guidance inside [start, end] of the way; outside no unconditional pass is made.",
  params = {
    { name = "start", type = "FLOAT", default = 0.2, min = 0.0, max = 1.0, step = 0.01, doc = "Where guidance begins; 0 = pure noise." },
    { name = "stop", type = "FLOAT", default = 0.8, min = 0.0, max = 1.0, step = 0.01, doc = "Where it ends; 1 = the finished picture." },
  },
  run = function(t, p, ctx)
    local percent = 1 - t
    if percent >= p.start - NEAR and percent <= p.stop + NEAR then return ctx.cfg end
    return 1
  end,
}

-- tvcfg_triangle - time-varying guidance with a triangular window.
-- Definition: the scale is lo at both ends of the run and hi at `peak`; between them it runs straight.
-- axis "time": t is model time (1 = noise). axis "step": t is the progress over the steps, from 1 down to 0.

local function window(t, peak)
  local u
  if peak <= 0 then
    u = 0.5 + t / 2
  elseif t <= peak then
    u = t / (2 * peak)
  else
    u = 0.5 + (t - peak) / (2 * (1 - peak))
  end
  return math.max(0, 1 - math.abs(2 * u - 1))
end

return {
  kind = "guidance",
  name = "tvcfg_triangle",
  doc = "Time-varying CFG: lo at both ends, hi at the peak, straight in between.",
  params = {
    { name = "lo", type = "FLOAT", default = 1.0, min = 0.0, max = 100.0, step = 0.1, doc = "Scale at both ends." },
    { name = "hi", type = "FLOAT", default = 4.0, min = 0.0, max = 100.0, step = 0.1, doc = "Scale at the peak." },
    { name = "peak", type = "FLOAT", default = 0.5, min = 0.0, max = 1.0, step = 0.01, doc = "Where the peak stands, 1 = noise." },
    { name = "axis", type = "COMBO", options = { "time", "step" }, doc = "Model time, or progress over the steps." },
  },
  run = function(t, p, ctx)
    if p.axis == "step" then t = 1 - ctx.step / math.max(1, ctx.steps - 1) end
    return p.lo + (p.hi - p.lo) * window(t, p.peak)
  end,
}

-- cfg_zero_star - guidance with an optimised scale of the unconditional velocity.
-- Source: "CFG-Zero*: Improved Classifier-Free Guidance for Flow Matching Models". Without zeroed first steps.

return {
  kind = "guidance",
  name = "cfg_zero_star",
  doc = "CFG-Zero*: scales the unconditional velocity to explain the conditional one.",
  post = function(x0, cond, uncond, t, p, ctx)
    local dims = { 2, 3, 4 }
    local vp, vu = ctx.x - cond, ctx.x - uncond
    local a = (vp * vu):sum(dims) / ((vu * vu):sum(dims) + 1e-8)
    return x0 + uncond * (a - 1) + uncond * ctx.cfg * (1 - a)
  end,
}

-- apg - adaptive projected guidance.
-- Source: "Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion Models".
-- The guidance g = P - U is shortened, split along P, and the part along P weighted by eta. The running average
-- (momentum) starts anew when sigma rises, that is with the next run of a chain.

return {
  kind = "guidance",
  name = "apg",
  doc = "Adaptive projected guidance: strong guidance without oversaturation.",
  params = {
    { name = "eta", type = "FLOAT", default = 1.0, min = -10.0, max = 10.0, step = 0.01, doc = "Weight of the part along the estimate; 1 leaves it." },
    { name = "norm_threshold", type = "FLOAT", default = 5.0, min = 0.0, max = 50.0, step = 0.1, doc = "Longest guidance; 0 = any." },
    { name = "momentum", type = "FLOAT", default = 0.0, min = -5.0, max = 1.0, step = 0.01, doc = "Weight of the running average; 0 = none." },
  },
  pre = function(cond, uncond, t, p, ctx)
    local dims, state = { 2, 3, 4 }, ctx.state
    if state.sigma and ctx.sigma > state.sigma then state.average = nil end
    state.sigma = ctx.sigma
    local g = cond - uncond
    if p.momentum ~= 0 then
      if state.average then g = state.average * p.momentum + g end
      state.average = g
    end
    if p.norm_threshold > 0 then g = g * (p.norm_threshold / g:norm(dims)):min(1) end
    local n = cond / cond:norm(dims):max(1e-12)
    local parallel = n * (g * n):sum(dims)
    local orthogonal = g - parallel
    return (uncond + (orthogonal + parallel * p.eta)) + (cond - uncond) / ctx.cfg, uncond
  end,
}

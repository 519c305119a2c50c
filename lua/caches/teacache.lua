-- teacache - skips the blocks of steps whose modulated input changed little.
-- Source: "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model", with the polynomial that its
-- authors fitted for FLUX: it turns the relative change of the first block's modulated input into an estimate of
-- the output's change. The estimates are summed; a step is computed when the sum reaches the threshold, or when
-- `max_skip` steps in a row were skipped. The first and the last step are always computed.
-- Below 8 steps each step differs too much from the one before: nothing is skipped unless `force` is set.

local fits = {
  flux = { 498.651651, -283.781631, 55.8554382, -3.82021401, 0.264230861 },
  ["flux-kontext"] = { -1046.55119, 312.563399, -16.9500694, 0.410995971, 0.0374537863 },
}
local LEAST = 8

return {
  kind = "cache",
  name = "teacache",
  doc = "Skips the blocks of steps whose modulated input changed little.",
  params = {
    { name = "threshold", type = "FLOAT", default = 0.4, min = 0.0, max = 10.0, step = 0.01, doc = "Summed estimate of change from which a step is computed; 0 skips nothing." },
    { name = "fit", type = "COMBO", options = { "flux", "flux-kontext" }, doc = "Model that the estimate was fitted to." },
    { name = "start", type = "FLOAT", default = 0.0, min = 0.0, max = 1.0, step = 0.01, doc = "Share of the steps before which none is skipped." },
    { name = "stop", type = "FLOAT", default = 1.0, min = 0.0, max = 1.0, step = 0.01, doc = "Share of the steps after which none is skipped." },
    { name = "max_skip", type = "INT", default = 0, min = 0, max = 100, doc = "Most steps skipped in a row; 0 = any number." },
    { name = "force", type = "BOOLEAN", default = false, doc = "Skips in runs of fewer than 8 steps too." },
  },
  decide = function(ctx, p)
    local state = ctx.state
    local estimate = 0
    for _, c in ipairs(fits[p.fit]) do estimate = estimate * ctx.change + c end
    state.sum = (state.sum or 0) + estimate
    local reason
    local compute = ctx.step == 0 or ctx.step == ctx.steps - 1 or not (state.sum < p.threshold)
    if ctx.steps < LEAST and not p.force then
      compute = true
      reason = ("skips nothing: %d steps are too few, each differs too much from the one before; "
        .. "use %d or more, or set force"):format(ctx.steps, LEAST)
    end
    local share = ctx.step / ctx.steps
    if share < p.start or share > p.stop then compute = true end
    if p.max_skip > 0 and (state.skipped or 0) >= p.max_skip then compute = true end
    state.skipped = compute and 0 or (state.skipped or 0) + 1
    if compute then state.sum = 0 end
    return compute, reason
  end,
}

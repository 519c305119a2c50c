return { kind = "cache", name = "every_other", doc = "Computes every second step, and the last one.",
  decide = function(ctx, p) return ctx.step % 2 == 0 or ctx.step == ctx.steps - 1 end }

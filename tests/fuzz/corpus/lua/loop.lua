return { kind = "scheduler", name = "a", run = function(ctx, p) while true do pcall(error) end end }

return { kind = "scheduler", name = "a", run = function(ctx) return ("a"):rep(99):match(("a?"):rep(99) .. "%b()") end }

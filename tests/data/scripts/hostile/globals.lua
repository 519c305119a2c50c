return { kind = 'scheduler', name = 'a', run = function(ctx, p) _G.string = nil _ENV = nil return { 1, 0 } end }

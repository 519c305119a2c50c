return { kind = 'scheduler', name = 'a', run = function(ctx, p) local t = { 1 } for i = 1, 1e8 do t = { t } end return t end }

local t = {} t.__name = t t.__tostring = t return { kind = 'scheduler', name = 'a', __name = t, __index = t, run = function(ctx, p) error(tostring(t) + t) end }

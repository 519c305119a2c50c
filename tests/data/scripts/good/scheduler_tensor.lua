-- The list may be a tensor with one dimension: here the script has none at hand, so it is built from numbers.
local function ramp(n) local t = {} for i = 0, n do t[#t + 1] = math.f32(1 - i / n) end return t end
return { kind = "scheduler", name = "ramp", run = function(ctx) return ramp(ctx.steps) end }

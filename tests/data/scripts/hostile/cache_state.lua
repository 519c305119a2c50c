local t = {}
return { kind = 'cache', name = 'a', decide = function(ctx) while true do t[#t + 1] = ctx.state end end }

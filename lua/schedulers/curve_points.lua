-- curve_points - noise levels along a curve given by points.
-- Definition: straight lines through points "progress:sigma", progress from 0 (first step) to 1; sigma times the
-- model's largest. The first point stands at 0, the last one is 1:0.

local function read_points(text)
  local points = {}
  for word in text:gmatch("[^%s,;]+") do
    local x, y = word:match("^([^:]+):([^:]+)$")
    x, y = tonumber(x), tonumber(y)
    if not (x and y) then error("'" .. word .. "' is not written progress:sigma", 0) end
    if #points > 0 and x <= points[#points][1] then error("progress must rise: " .. word, 0) end
    points[#points + 1] = { x, y }
  end
  if #points < 2 or points[1][1] ~= 0 or points[#points][1] ~= 1 then
    error("points must run from progress 0 to 1", 0)
  end
  return points
end

return {
  kind = "scheduler",
  name = "curve_points",
  doc = "Noise levels along straight lines through points.",
  params = {
    { name = "points", type = "STRING", default = "0:1, 0.4:0.8, 0.8:0.3, 1:0", multiline = true, doc = "Points progress:sigma, from 0:1 to 1:0." },
  },
  run = function(ctx, p)
    local points, out, k = read_points(p.points), {}, 1
    for i = 0, ctx.steps do
      local x = i / ctx.steps
      while k < #points - 1 and x > points[k + 1][1] do k = k + 1 end
      local a, b = points[k], points[k + 1]
      out[i + 1] = (a[2] + (b[2] - a[2]) * (x - a[1]) / (b[1] - a[1])) * ctx.sigma_max
    end
    return out
  end,
}

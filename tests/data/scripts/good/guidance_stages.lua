-- A curve from points "t scale; t scale", with pcall round the reading.
local function read(text)
  local points = {}
  for t, v in text:gmatch("([%d%.]+)%s+([%d%.]+)") do points[#points + 1] = { t = tonumber(t), v = tonumber(v) } end
  table.sort(points, function(a, b) return a.t < b.t end)
  return #points > 0 and points or error({ "no points" })
end
return { kind = "guidance", name = "points", params = { { name = "points", type = "STRING", default = "0 1; 0.5 6; 1 2" } },
  run = function(t, p, ctx)
    local good, points = pcall(read, p.points)
    if not good then return ctx.cfg end
    if t <= points[1].t then return points[1].v end
    for i = 2, #points do
      local a, b = points[i - 1], points[i]
      if t <= b.t then return a.v + (b.v - a.v) * (t - a.t) / (b.t - a.t) end
    end
    return points[#points].v
  end }

-- A schedule that is written as text: "a:b:c" divides the model's time in those shares.
local function split(text, by)
  local parts = {}
  for word in text:gmatch("[^" .. by .. "]+") do parts[#parts + 1] = tonumber(word) or error("no number: " .. word, 0) end
  return parts
end
return {
  kind = "scheduler", name = "shares", doc = "Shares of the way, as text.",
  params = { { name = "shares", type = "STRING", default = "1:2:1", multiline = true },
             { name = "kind", type = "COMBO", options = { "time", "sigma" }, default = "sigma" },
             { name = "flip", type = "BOOLEAN", default = true } },
  run = function(ctx, p)
    local parts, sum = split(p.shares, ":"), 0
    for _, v in ipairs(parts) do sum = sum + v end
    local cuts, at = { 0 }, 0
    for _, v in ipairs(parts) do at = at + v / sum; cuts[#cuts + 1] = at end
    if p.flip then table.sort(cuts, function(a, b) return a < b end) end
    local s = {}
    for i = 0, ctx.steps do
      local u = i / ctx.steps * (#cuts - 1)
      local k = math.min(math.floor(u), #cuts - 2)
      local w = cuts[k + 1] + (u - k) * (cuts[k + 2] - cuts[k + 1])
      s[i + 1] = p.kind == "time" and ctx.sigma(1 - w) or ctx.sigma_max * (1 - w)
    end
    s[#s] = 0.0
    return s
  end,
}

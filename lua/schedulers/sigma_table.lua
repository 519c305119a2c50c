-- sigma_table - noise levels from a list that the user writes.
-- Definition: the list as it stands when it has steps + 1 numbers; else straight lines between its numbers, which
-- stand at equal distances over the steps. It must fall and end in 0.

local function numbers(text)
  local list = {}
  for word in text:gmatch("[^%s,;]+") do
    list[#list + 1] = tonumber(word) or error("'" .. word .. "' is not a number", 0)
  end
  return list
end

return {
  kind = "scheduler",
  name = "sigma_table",
  doc = "Noise levels from a list of numbers.",
  params = {
    { name = "sigmas", type = "STRING", default = "1.0, 0.75, 0.5, 0.25, 0.0", multiline = true, doc = "Numbers that fall and end in 0." },
  },
  run = function(ctx, p)
    local list = numbers(p.sigmas)
    if #list < 2 then error("sigmas needs two numbers or more", 0) end
    if #list == ctx.steps + 1 then return list end
    local out = {}
    for i = 0, ctx.steps do
      local at = i / ctx.steps * (#list - 1)
      local k = math.min(math.floor(at), #list - 2)
      out[i + 1] = list[k + 1] + (list[k + 2] - list[k + 1]) * (at - k)
    end
    return out
  end,
}

-- seed_loop - a list of seeds; what is linked to it runs once for each.
-- Definition: first, first + step, ... , count of them.

return {
  kind = "node",
  name = "seed_loop",
  doc = "A list of seeds: everything behind it runs once for each.",
  inputs = {
    { name = "first", type = "INT", default = 1, min = 0, max = 4294967295, doc = "First seed." },
    { name = "count", type = "INT", default = 4, min = 1, max = 256, doc = "Number of seeds." },
    { name = "step", type = "INT", default = 1, min = 1, max = 1000000, doc = "Distance between seeds." },
  },
  outputs = { { name = "seed", type = "INT", list = true, doc = "The seeds." } },
  run = function(inputs)
    local seeds = {}
    for i = 1, inputs.count do seeds[i] = inputs.first + (i - 1) * inputs.step end
    return { seeds }
  end,
}

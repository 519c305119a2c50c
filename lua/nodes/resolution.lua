-- resolution - width and height from an aspect ratio and a number of pixels.
-- Definition: width = sqrt(pixels * ratio), height = width / ratio, both rounded to a multiple.

return {
  kind = "node",
  name = "resolution",
  doc = "Width and height from an aspect ratio and a number of megapixels.",
  inputs = {
    { name = "aspect", type = "COMBO", options = { "1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "21:9" }, doc = "Width to height." },
    { name = "megapixels", type = "FLOAT", default = 1.0, min = 0.05, max = 16.0, step = 0.05, doc = "Size; 1 is 1024 x 1024." },
    { name = "multiple", type = "INT", default = 16, min = 1, max = 256, doc = "Both sides are multiples of this." },
  },
  outputs = { { name = "width", type = "INT" }, { name = "height", type = "INT" } },
  run = function(inputs)
    local a, b = inputs.aspect:match("(%d+):(%d+)")
    a, b = tonumber(a), tonumber(b)
    local ratio, step = a / b, inputs.multiple
    local width = math.sqrt(inputs.megapixels * 1024 * 1024 * ratio)
    local function rounded(v) return math.max(1, math.floor(v / step + 0.5)) * step end
    return { rounded(width), rounded(width / ratio) }
  end,
}

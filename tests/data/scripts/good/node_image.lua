return { kind = "node", name = "grade", inputs = { { name = "image", type = "IMAGE" }, { name = "mask", type = "MASK", optional = true },
  { name = "contrast", type = "FLOAT", default = 1.2, min = 0, max = 4 } },
  outputs = { { name = "IMAGE", type = "IMAGE" }, { name = "MASK", type = "MASK" } },
  run = function(inputs)
    local mean = inputs.image:mean({ 2, 3 })
    local graded = ((inputs.image - mean) * inputs.contrast + mean):clamp(0, 1)
    local shape = inputs.image:shape()
    local mask = inputs.mask or error("a mask is linked in the dry run")
    assert(shape[4] == 3 and #mask:shape() == 3)
    return { graded, mask:clone():abs():min(1) }
  end }

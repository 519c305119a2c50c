return { kind = "node", name = "numbers", inputs = {
  { name = "a", type = "INT", default = 7, min = -100, max = 100 }, { name = "b", type = "FLOAT", default = 0.5, min = -10, max = 10 },
  { name = "seed", type = "INT", default = 3, min = 0, max = 1000 }, { name = "on", type = "BOOLEAN", default = true } },
  outputs = { { name = "INT", type = "INT" }, { name = "FLOAT", type = "FLOAT" }, { name = "BOOLEAN", type = "BOOLEAN" } },
  run = function(i)
    local r = math.random(1, 10)
    math.randomseed(i.seed)
    assert(math.random(1, 10) == r, "random numbers start from the input seed")
    assert(select("#", table.unpack({ 1, 2, 3 })) == 3 and next({}) == nil and rawget == nil and type(print) == "nil")
    assert(math.expf(0) == 1 and math.logf(1) == 0 and math.expm1f(0) == 0 and math.tointeger(3.0) == 3)
    assert(tostring(1.5) == "1.5" and tonumber("ff", 16) == 255 and 7 // 2 == 3 and 7 % 3 == 1 and 1 << 4 == 16)
    local moved = table.move({ 1, 2, 3 }, 1, 3, 2)
    assert(#moved == 4 and table.concat(moved, ",") == "1,1,2,3")
    return { i.a * 2, i.b / 3, not i.on }
  end }

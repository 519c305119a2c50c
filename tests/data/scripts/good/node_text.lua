return { kind = "node", name = "shout", inputs = {
  { name = "text", type = "STRING", default = "a cat; a dog", multiline = true },
  { name = "mode", type = "COMBO", options = { "upper", "lower", "reverse", "title" }, default = "title" } },
  outputs = { { name = "text", type = "STRING" }, { name = "length", type = "INT" }, { name = "words", type = "STRING", list = true } },
  run = function(inputs)
    local s = inputs.text
    if inputs.mode == "title" then s = s:gsub("(%a)(%w*)", function(a, b) return a:upper() .. b:lower() end)
    else s = string[inputs.mode](s) end
    local words = {}
    for w in s:gmatch("%S+") do words[#words + 1] = ("%q"):format(w):sub(2, -2) end
    assert(s:byte(1) == string.byte(s) and string.char(65, 66) == "AB" and #s == s:len())
    assert(utf8.len("äö") == 2 and utf8.char(228) == "ä" and utf8.codepoint("ä") == 228 and utf8.offset("äö", 2) == 3)
    local n = 0
    for _, c in utf8.codes("äö") do n = n + c end
    assert(n == 228 + 246 and ("ab"):find("b", 1, true) == 2 and ("äö"):match(utf8.charpattern) == "ä")
    return { s, #s, words }
  end }

-- prompt_wildcards - fills choices and lists into a prompt.
-- Definition: {a|b|c} becomes one of its parts, nested ones from the inside out; __name__ becomes one line part of
-- the list `name`, written in `lists` as one "name = a | b | c" per line. The same seed gives the same text.

local function trimmed(text)
  return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

local function parts(text)
  local list = {}
  for part in (text .. "|"):gmatch("([^|]*)|") do list[#list + 1] = trimmed(part) end
  return list
end

local function pick(list)
  return list[math.random(#list)]
end

local function read_lists(text)
  local lists = {}
  for row in text:gmatch("[^\n]+") do
    local name, rest = row:match("^%s*([%w_]+)%s*=(.*)$")
    if name then lists[name] = parts(rest) end
  end
  return lists
end

return {
  kind = "node",
  name = "prompt_wildcards",
  doc = "Fills {a|b} choices and __name__ lists into a prompt, by seed.",
  inputs = {
    { name = "text", type = "STRING", default = "a {red|green|blue} house in __place__", multiline = true, doc = "Prompt with choices." },
    { name = "lists", type = "STRING", default = "place = the woods | a harbour | the mountains", multiline = true, doc = "One list per line: name = a | b | c." },
    { name = "seed", type = "INT", default = 0, min = 0, max = 4294967295, doc = "Chooses the parts." },
  },
  outputs = { { name = "text", type = "STRING", doc = "The prompt." } },
  run = function(inputs)
    local lists, text, n = read_lists(inputs.lists), inputs.text, 1
    local rounds = 0
    while n > 0 and rounds < 32 do
      local listed
      text, listed = text:gsub("__([%a%d]+)__", function(name) return lists[name] and pick(lists[name]) end)
      text, n = text:gsub("{([^{}]*)}", function(inside) return pick(parts(inside)) end)
      rounds = rounds + 1
    end
    return { text }
  end,
}

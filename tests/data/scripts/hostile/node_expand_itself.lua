return { kind = 'node', name = 'a', inputs = {}, outputs = { { name = 'o', type = 'INT' } },
  run = function() local n = { class_type = 'Lua.a' } n.inputs = { a = n } return { expand = { x = n }, result = { { 'x', 0 } } } end }

return { kind = 'node', name = 'a', inputs = {}, outputs = { { name = 'o', type = 'STRING' } },
  run = function() local s = ('x'):rep(1 << 20) while true do s = s .. s end end }

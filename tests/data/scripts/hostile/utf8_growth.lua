return { kind = 'scheduler', name = 'a', run = function(ctx, p) local s = utf8.char(table.unpack({ 0x10FFFF, 0x10FFFF })) while true do s = s .. s for _ in utf8.codes(s) do end end end }

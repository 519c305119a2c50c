return { kind = 'node', name = 'a', inputs = {}, outputs = { { name = 'o', type = 'LATENT' } },
  run = function() local t = {} t.samples = t t.noise_mask = t return { t } end }

-- flow_match_euler - the schedule of the diffusers library's FlowMatchEulerDiscreteScheduler.
-- Source: that class's documented options. A fixed shift acts twice at the ends: on the training table, whose ends
-- span the steps, and on the steps themselves. The option invert_sigmas is left out: a rising list is no schedule
-- here (FlipSigmas turns one round).

local f32 = math.f32

local function numbers(text)
  local list = {}
  for word in text:gmatch("[^%s,;]+") do
    list[#list + 1] = tonumber(word) or error("'" .. word .. "' is not a number", 0)
  end
  return list
end

local function line(a, b, n, i)
  if n == 1 then return a end
  return a + (b - a) * i / (n - 1)
end

local function fixed(shift, s)
  return shift * s / (1 + (shift - 1) * s)
end

local function start(ctx, p)
  local given = numbers(p.sigmas)
  if #given > 0 then
    if #given ~= ctx.steps then error("sigmas holds " .. #given .. " numbers for " .. ctx.steps .. " steps", 0) end
    for i = 1, #given do given[i] = f32(given[i]) end
    return given
  end
  local high, low = 1.0, f32(1 / p.train_steps)
  if not p.dynamic then high, low = f32(fixed(p.shift, high)), f32(fixed(p.shift, low)) end
  local sigmas = {}
  for i = 0, ctx.steps - 1 do
    sigmas[i + 1] = line(high * p.train_steps, low * p.train_steps, ctx.steps, i) / p.train_steps
  end
  return sigmas
end

local function shifted(p, s)
  if not p.dynamic then return fixed(p.shift, s) end
  local mu = tonumber(p.mu) or error("dynamic shifting needs mu", 0)
  local e = p.time_shift_type == "linear" and mu or math.exp(mu)
  return e / (e + (1 / s - 1))
end

local function stretch(sigmas, terminal)
  local scale = (1 - sigmas[#sigmas]) / (1 - terminal)
  if scale == 0 then error("shift_terminal needs two steps or more", 0) end
  for i = 1, #sigmas do sigmas[i] = 1 - (1 - sigmas[i]) / scale end
end

local spreads = {
  karras = function(high, low, n, i)
    local a, b = high ^ (1 / 7), low ^ (1 / 7)
    return (a + line(0, 1, n, i) * (b - a)) ^ 7
  end,
  exponential = function(high, low, n, i)
    return math.exp(line(math.log(high), math.log(low), n, i))
  end,
  beta = function(high, low, n, i)
    return math.beta_inverse(0.6, 0.6, 1 - line(0, 1, n, i)) * (high - low) + low
  end,
}

return {
  kind = "scheduler",
  name = "flow_match_euler",
  doc = "The schedule of FlowMatchEulerDiscreteScheduler with its options.",
  params = {
    { name = "shift", type = "FLOAT", default = 1.0, min = 0.01, max = 100.0, step = 0.01, doc = "Fixed shift; unused with dynamic." },
    { name = "dynamic", type = "BOOLEAN", default = false, doc = "Shift by mu instead (use_dynamic_shifting)." },
    { name = "mu", type = "STRING", default = "", doc = "mu of dynamic shifting, a number." },
    { name = "time_shift_type", type = "COMBO", options = { "exponential", "linear" }, doc = "How mu acts." },
    { name = "shift_terminal", type = "FLOAT", default = 0.0, min = 0.0, max = 0.99, step = 0.01, doc = "Last level to stretch to; 0 = none." },
    { name = "spread", type = "COMBO", options = { "plain", "karras", "exponential", "beta" }, doc = "Spacing between the first and the last level." },
    { name = "train_steps", type = "INT", default = 1000, min = 1, max = 100000, doc = "num_train_timesteps." },
    { name = "sigmas", type = "STRING", default = "", multiline = true, doc = "One level per step instead of equal steps." },
  },
  run = function(ctx, p)
    local sigmas = start(ctx, p)
    for i = 1, #sigmas do sigmas[i] = shifted(p, sigmas[i]) end
    if p.shift_terminal > 0 then stretch(sigmas, p.shift_terminal) end
    local spread, n = spreads[p.spread], #sigmas
    if spread then
      local high, low = sigmas[1], sigmas[n]
      for i = 1, n do sigmas[i] = spread(high, low, n, i - 1) end
    end
    sigmas[n + 1] = 0
    return sigmas
  end,
}

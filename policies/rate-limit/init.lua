--- Limits how often callers may call: by address, header, user, service, method, or several of them together.
--
-- Settings:
--   rules        list of rules, all of which have to let a request through; each has
--     by         what is counted apart: `address`, `user`, `service`, `method`, `header:NAME`, or a list of these;
--                default: nothing, one bucket for all requests
--     rate       how many requests
--     per        `second`, `minute` or `hour`; default `second`
--     burst      how many at once; default: the rate, at least 1
--     name       for metrics and the log; default `rule-1`, `rule-2`, …
--   ipv4_prefix  bits of an IPv4 address that count; default 32
--   ipv6_prefix  bits of an IPv6 address that count; default 64, what one customer usually has
--   keys         how many callers all rules together count apart; default 100000
--   headers      true: responses tell the limit in `ratelimit-limit`, `ratelimit-remaining`, `ratelimit-reset`
--   message      what is said to callers who are refused
--   dry_run      true: refuses nobody, only counts whom it would refuse

local moon = require "moon"

local SECONDS = { second = 1, minute = 60, hour = 3600 }

local SCHEMA = {
  rules = {
    "list",
    required = true,
    of = {
      "table",
      fields = {
        by = { "list", of = "string", single = true, default = {} },
        rate = { "number", required = true },
        per = { "string", values = { "second", "minute", "hour" }, default = "second" },
        burst = "number",
        name = "string",
      },
    },
  },
  ipv4_prefix = { "integer", min = 1, max = 32, default = 32 },
  ipv6_prefix = { "integer", min = 1, max = 128, default = 64 },
  keys = { "integer", min = 1, max = 10000000, default = 100000 },
  headers = { "boolean", default = false },
  message = { "string", default = "too many requests" },
  dry_run = { "boolean", default = false },
}

local refused = moon.metrics.counter(
  "rate_limit_refused_total", "Requests that a rule of rate-limit refused, or would have in a dry run.",
  { "rule", "dry_run" })

--- Settings of an instance -> what the hooks use.
local instances = setmetatable({}, { __mode = "k" })

--- What a rule can count by: functions of handle and settings. `""` stands for what a request does not have.
local PARTS = {
  address = function(handle, settings)
    local address = handle:remoteAddress()
    return address and moon.network(address, settings.ipv4_prefix, settings.ipv6_prefix) or ""
  end,
  user = function(handle) return tostring(handle:ctx().user or "") end,
  service = function(handle) return (handle:grpcMethod()) or "" end,
  method = function(handle) return handle:headers():get(":path"):match("^[^?]*") end,
}

local function part(name)
  local header = name:match("^header:(.+)$")
  if header then return function(handle) return handle:headers():get(header) or "" end end
  if not PARTS[name] then
    error(("rules: by %q is none of address, user, service, method, header:NAME"):format(name), 0)
  end
  return PARTS[name]
end

local function compile(rule, index, keys)
  if rule.rate <= 0 then error("rules: rate must be above 0", 0) end
  if rule.burst and rule.burst < 1 then error("rules: burst must be at least 1", 0) end
  local name, parts = rule.name or "rule-" .. index, {}
  for place, by in ipairs(rule.by) do parts[place] = part(by) end
  local rate = rule.rate / SECONDS[rule.per]
  local burst = rule.burst or math.max(1, math.ceil(rule.rate))
  -- The name and what is counted keep the buckets of different rules apart, and a reload keeps them.
  local identity = name .. "|" .. table.concat(rule.by, "|")
  local limit = moon.limit { rate = rate, burst = burst, name = identity, keys = keys }
  return { name = name, parts = parts, limit = limit, burst = burst, rate = rate }
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if #settings.rules == 0 then error("rules is empty", 0) end
  for index, rule in ipairs(settings.rules) do settings.rules[index] = compile(rule, index, settings.keys) end
  instances[config] = settings
end

--- Parts that callers write go with their lengths, so that no two keys come out the same.
local function key_of(rule, handle, settings)
  if #rule.parts == 1 then return rule.parts[1](handle, settings) end
  local texts = {}
  for index, read in ipairs(rule.parts) do
    local text = read(handle, settings)
    texts[index] = #text .. ":" .. text
  end
  return table.concat(texts)
end

--- The rule with the least left is what a response tells of.
local function remember(handle, rule, left)
  local ctx = handle:ctx()
  local known = ctx["rate-limit"]
  if not known or left < known.left then ctx["rate-limit"] = { rule = rule, left = left } end
end

local function refuse(handle, settings, seconds)
  local headers = { [":status"] = 429, ["retry-after"] = math.max(1, math.ceil(seconds)) }
  if handle:isGrpc() then
    headers["grpc-status"] = 8
    headers["grpc-retry-pushback-ms"] = math.max(1, math.ceil(seconds * 1000))
  end
  handle:respond(headers, settings.message)
end

function on_request(handle)
  local settings = instances[handle:config()]
  for _, rule in ipairs(settings.rules) do
    local allowed, seconds, left = rule.limit:take(key_of(rule, handle, settings))
    if settings.headers then remember(handle, rule, left) end
    if not allowed then
      refused:inc(1, { rule = rule.name, dry_run = settings.dry_run })
      if not settings.dry_run then return refuse(handle, settings, seconds) end
    end
  end
end

function on_response(handle)
  local told = handle:ctx()["rate-limit"]
  if not told then return end
  local headers, rule = handle:headers(), told.rule
  headers:set("ratelimit-limit", math.floor(rule.burst))
  headers:set("ratelimit-remaining", told.left)
  headers:set("ratelimit-reset", math.ceil((rule.burst - told.left) / rule.rate))
end

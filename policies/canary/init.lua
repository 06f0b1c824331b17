--- Sends part of the requests to another upstream: those with a certain header, and a share of the others.
--
-- Settings:
--   upstream  where canary requests go; required
--   header    name of a header that decides on its own
--   value     its value for canary requests; default "canary". Any other value keeps the request off the canary
--   weight    per cent of the requests without that header, 0 to 100 (0.5 is fine); default 0
--   sticky    name of a header, such as a user's id: requests with the same value always get the same answer.
--             Requests without it are drawn by lot

local moon = require "moon"

local SCHEMA = {
  upstream = { "string", required = true },
  header = "string",
  value = "string",
  weight = { "number", min = 0, max = 100 },
  sticky = "string",
}

function on_init(config)
  moon.settings(config, SCHEMA)
  moon.upstream(config.upstream)
  if config.value and not config.header then error("value needs header", 0) end
  if config.sticky and not config.weight then error("sticky needs weight", 0) end
  if not config.header and not config.weight then error("header or weight is missing", 0) end
end

--- A number in [0, 100). The upstream's name is part of the hash, so that two canaries do not pick the same users.
local function draw(config, headers)
  local key = config.sticky and headers:get(config.sticky)
  if key then return moon.hash(config.upstream .. "\0" .. key) % 10000 / 100 end
  return moon.random() * 100
end

local function is_canary(config, headers)
  local wish = config.header and headers:get(config.header)
  if wish then return wish == (config.value or "canary") end
  return config.weight ~= nil and draw(config, headers) < config.weight
end

function on_request(handle)
  local config = handle:config()
  if is_canary(config, handle:headers()) then handle:setUpstream(config.upstream) end
end

--- Bounds how long gRPC calls may take: a longest time, and a time for calls that name none.
--
-- Settings, at least one of them:
--   max      longest deadline that a caller may ask for; default: any
--   default  deadline of calls without one; default: max, if there is one

local moon = require "moon"

local SCHEMA = {
  max = { "duration", min = 0.001, max = 86400 },
  default = { "duration", min = 0.001, max = 86400 },
}

--- Settings of an instance -> the checked ones, in seconds.
local instances = setmetatable({}, { __mode = "k" })

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if not settings.max and not settings.default then error("max or default is missing", 0) end
  if settings.max and settings.default and settings.default > settings.max then
    error("default must not be longer than max", 0)
  end
  settings.default = settings.default or settings.max
  instances[config] = settings
end

local UNITS = { H = 3600, M = 60, S = 1, m = 1e-3, u = 1e-6, n = 1e-9 }

--- Seconds of a grpc-timeout; nil if it is malformed.
local function seconds(text)
  local digits, unit = text:match "^(%d+)([HMSmun])$"
  if digits and #digits <= 8 then return tonumber(digits) * UNITS[unit] end
end

--- As the wire has it: at most eight digits.
local function write(time)
  return ("%dm"):format(math.ceil(time * 1000))
end

function on_request(handle)
  if not handle:isGrpc() then return end
  local settings, headers = instances[handle:config()], handle:headers()
  local text = headers:get "grpc-timeout"
  local asked = text and seconds(text)
  if not asked then
    -- A malformed one would be ignored by some servers and refused by others.
    if settings.default then headers:replace("grpc-timeout", write(settings.default)) end
  elseif settings.max and asked > settings.max then
    headers:replace("grpc-timeout", write(settings.max))
  end
end

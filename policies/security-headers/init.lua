--- Adds the response headers that browsers know for security, and removes those that tell too much.
--
-- Settings, each a header's value (an empty text leaves the header out); what the upstream sends itself stays:
--   strict_transport_security, content_type_options, frame_options, referrer_policy, content_security_policy,
--   permissions_policy, opener_policy, resource_policy
-- and:
--   remove  names of headers that are taken out; default [server, x-powered-by]
--   grpc    true: gRPC responses get the headers, too. Default: they do not, as no browser reads them

local moon = require "moon"

local NAMES = {
  content_type_options = "x-content-type-options",
  frame_options = "x-frame-options",
  referrer_policy = "referrer-policy",
  content_security_policy = "content-security-policy",
  permissions_policy = "permissions-policy",
  opener_policy = "cross-origin-opener-policy",
  resource_policy = "cross-origin-resource-policy",
}

local SCHEMA = {
  strict_transport_security = { "string", default = "max-age=31536000; includeSubDomains" },
  content_type_options = { "string", default = "nosniff" },
  frame_options = { "string", default = "DENY" },
  referrer_policy = { "string", default = "strict-origin-when-cross-origin" },
  content_security_policy = { "string", default = "" },
  permissions_policy = { "string", default = "" },
  opener_policy = { "string", default = "" },
  resource_policy = { "string", default = "" },
  remove = { "list", of = "string", default = { "server", "x-powered-by" } },
  grpc = { "boolean", default = false },
}

--- Settings of an instance -> the checked ones.
local instances = setmetatable({}, { __mode = "k" })

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  for name, value in pairs(settings) do
    if type(value) == "string" and value:find "%c" then error(name .. " holds a control character", 0) end
  end
  instances[config] = settings
end

local function add(headers, name, value)
  if value ~= "" and not headers:has(name) then headers:add(name, value) end
end

function on_response(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  for _, name in ipairs(settings.remove) do headers:remove(name) end
  if handle:isGrpc() and not settings.grpc then return end
  for key, name in pairs(NAMES) do add(headers, name, settings[key]) end
  -- RFC 6797 §7.2: not over connections without TLS.
  if handle:streamInfo():downstreamSslConnection() then
    add(headers, "strict-transport-security", settings.strict_transport_security)
  end
end

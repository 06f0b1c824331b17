--- Lets clients in, or keeps them out, by their address.
--
-- Settings, at least one of them; both are lists of networks, written `10.0.0.0/8`, `2001:db8::/32` or as one address,
-- or the path of a file that holds such a list:
--   deny   who is kept out
--   allow  who is let in; without it, everybody who is not denied
-- An entry `{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}` means the network without its exceptions. `deny` goes first.

local moon = require "moon"

local SCHEMA = { allow = "any", deny = "any" }

--- Settings of an instance -> its lists, compiled.
local instances = setmetatable({}, { __mode = "k" })

--- A set of addresses. An error is about the settings, not about this line: level 0 leaves the position out.
local function networks(source, name)
  if type(source) ~= "table" and type(source) ~= "string" then
    error(name .. " must be a list, or the path of a file", 0)
  end
  local ok, set = pcall(moon.networks, source)
  if not ok then error(name .. ": " .. set, 0) end
  return set
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if not settings.allow and not settings.deny then error("allow or deny is missing", 0) end
  instances[config] = {
    allow = settings.allow and networks(settings.allow, "allow"), deny = networks(settings.deny or {}, "deny"),
  }
end

function on_request(handle)
  local lists = instances[handle:config()]
  local address = handle:streamInfo():downstreamRemoteAddress()
  if lists.deny:contains(address) or (lists.allow and not lists.allow:contains(address)) then
    handle:respond({ [":status"] = "403" }, "your address is not allowed here")
  end
end

--- Takes the port out of `:authority`: `api.example.com:443` goes on as `api.example.com`, `[::1]:443` as `[::1]`.
--
-- Settings:
--   only_listener_port  true: a port goes only if it is the one the client connected to. Default: any port goes.

local moon = require "moon"

function on_init(config) moon.settings(config, { only_listener_port = "boolean" }) end

--- Host and port; nothing if there is no port. Several colons without brackets are an IPv6 address, not a port.
local function split(authority)
  local host, port = authority:match("^(%[[^%]]*%]):(%d*)$")
  if host then return host, port end
  return authority:match("^([^:]*):(%d*)$")
end

function on_request(handle)
  local headers = handle:headers()
  local host, port = split(headers:get(":authority") or "")
  if not host then return end
  if handle:config().only_listener_port then
    local listening = handle:streamInfo():downstreamLocalAddress():match(":(%d+)$")
    if port ~= listening then return end
  end
  headers:replace(":authority", host)
end

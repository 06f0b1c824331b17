--- Gives every request an id, for the upstream and in the response.
--
-- Settings:
--   header    name of the header; default "x-request-id"
--   trusted   networks of clients whose ids are taken; default: nobody's
--   response  false: the response does not get the id. Default: it does
--   version   4: random ids; 7: ids that begin with the time, and so sort by it. Default 4

local moon = require "moon"

local SCHEMA = {
  header = { "string", default = "x-request-id" },
  trusted = { "list", of = "string", default = {} },
  response = { "boolean", default = true },
  version = { "integer", default = 4 },
}

--- Settings of an instance -> the checked ones.
local instances = setmetatable({}, { __mode = "k" })

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if settings.version ~= 4 and settings.version ~= 7 then error("version must be 4 or 7", 0) end
  local ok, networks = pcall(moon.cidr, settings.trusted)
  if not ok then error(networks, 0) end
  settings.networks = networks
  instances[config] = settings
end

--- What others may choose ends up in logs: short, and without anything that needs quoting.
local function is_plain(id) return #id <= 128 and not id:find "[^%w._:-]" and id ~= "" end

function on_request(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  local id = headers:get(settings.header)
  local address = handle:streamInfo():downstreamRemoteAddress()
  if not (id and is_plain(id) and settings.networks:contains(address)) then
    id = moon.uuid(settings.version)
    headers:replace(settings.header, id)
  end
  handle:ctx()["request-id." .. settings.header] = id
end

function on_response(handle)
  local settings = instances[handle:config()]
  local id = handle:ctx()["request-id." .. settings.header]
  if settings.response and id then handle:headers():replace(settings.header, id) end
end

--- Lets in callers with an API key that stands, hashed, in a file.
--
-- Settings:
--   keys         path of the file: by name the SHA-256 of a key, or a map with sha256 and allow; required
--   header       name of the header with the key; default "x-api-key"
--   name_header  name of the header in which the upstream gets the key's name; default "x-api-key-name"
--   forward      true: the upstream gets the key, too. Default: it does not

local moon = require "moon"

local SCHEMA = {
  keys = { "string", required = true },
  header = { "string", default = "x-api-key" },
  name_header = { "string", default = "x-api-key-name" },
  forward = { "boolean", default = false },
}

--- Settings of an instance -> the checked ones, with `list`: the keys, to be asked.
local instances = setmetatable({}, { __mode = "k" })

--- Calls `call`. Its errors are about the settings, not about a line of this file: level 0 leaves the position out.
local function checked(call, ...)
  local ok, result = pcall(call, ...)
  if not ok then error(result, 0) end
  return result
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  settings.list = checked(moon.keys, settings.keys)
  instances[config] = settings
end

function on_request(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  -- Nobody outside may say whose key it is.
  headers:remove(settings.name_header)
  local key = headers:get(settings.header)
  if not key then return handle:respond({ [":status"] = "401" }, "an API key is needed") end
  local name, allowed = settings.list:find(key, headers:get(":path"))
  if not name then return handle:respond({ [":status"] = "401" }, "the API key is not known") end
  if not allowed then
    return handle:respond({ [":status"] = "403" }, "this method is not allowed for " .. name)
  end
  headers:replace(settings.name_header, name)
  if not settings.forward then headers:remove(settings.header) end
end

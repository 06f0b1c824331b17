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

local ENTRY = { sha256 = { "string", required = true }, allow = { "list", of = "string" } }

--- Settings of an instance -> the checked ones, with `names` and `allowed` by the keys' digests.
local instances = setmetatable({}, { __mode = "k" })

--- Calls `call`. Its errors are about the settings, not about a line of this file: level 0 leaves the position out.
local function checked(call, ...)
  local ok, result = pcall(call, ...)
  if not ok then error(result, 0) end
  return result
end

local function read_key(name, entry)
  if type(entry) == "string" then entry = { sha256 = entry } end
  local ok, key = pcall(moon.settings, type(entry) == "table" and entry or {}, ENTRY)
  if not ok then error(("key %q: %s"):format(name, key), 0) end
  local digest = moon.hex.decode(key.sha256)
  if not digest or #digest ~= 32 then
    error(("key %q: sha256 must be 64 hexadecimal digits (`printf %%s KEY | sha256sum`)"):format(name), 0)
  end
  return digest, key.allow and checked(moon.methods, key.allow)
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  local file = checked(moon.file, settings.keys)
  if type(file) ~= "table" or (next(file) ~= nil and type(next(file)) ~= "string") then
    error(settings.keys .. " must hold keys by name", 0)
  end
  settings.names, settings.allowed = {}, {}
  for name, entry in pairs(file) do
    local digest, allowed = read_key(name, entry)
    if settings.names[digest] then
      error(("key %q is the same as key %q"):format(name, settings.names[digest]), 0)
    end
    settings.names[digest], settings.allowed[digest] = name, allowed
  end
  instances[config] = settings
end

function on_request(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  -- Nobody outside may say whose key it is.
  headers:remove(settings.name_header)
  local key = headers:get(settings.header)
  if not key then return handle:respond({ [":status"] = "401" }, "an API key is needed") end
  -- A look-up by digest takes no longer for a key that is almost right.
  local digest = moon.crypto.sha256(key)
  local name = settings.names[digest]
  if not name then return handle:respond({ [":status"] = "401" }, "the API key is not known") end
  local allowed = settings.allowed[digest]
  if allowed and not allowed:contains(headers:get(":path")) then
    return handle:respond({ [":status"] = "403" }, "this method is not allowed for " .. name)
  end
  headers:replace(settings.name_header, name)
  if not settings.forward then headers:remove(settings.header) end
end

--- Lets in callers with a user name and password as HTTP has them (RFC 7617), if a users file knows them.
--
-- Settings:
--   users        path of the users file: by name the hash of a password; required
--   realm        what browsers show when they ask for the password; default "moongate"
--   user_header  name of the header in which the upstream gets the user's name; default: none
--   forward      true: the upstream gets the authorization header, too. Default: it does not

local moon = require "moon"

local SCHEMA = {
  users = { "string", required = true },
  realm = { "string", default = "moongate" },
  user_header = "string",
  forward = { "boolean", default = false },
}

--- Settings of an instance -> the checked ones, with `list`: the users, to be asked.
local instances = setmetatable({}, { __mode = "k" })

--- Calls `call`. Its errors are about the settings, not about a line of this file: level 0 leaves the position out.
local function checked(call, ...)
  local ok, result = pcall(call, ...)
  if not ok then error(result, 0) end
  return result
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if settings.realm:find '[%c"\\]' then error("realm must not hold quotation marks and backslashes", 0) end
  settings.list = checked(moon.users, settings.users, "basic")
  settings.challenge = ('Basic realm="%s", charset="UTF-8"'):format(settings.realm)
  instances[config] = settings
end

local function refuse(handle, settings, message)
  handle:respond({ [":status"] = "401", ["www-authenticate"] = settings.challenge }, message)
end

function on_request(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  if settings.user_header then headers:remove(settings.user_header) end
  local user, password = handle:basicAuth()
  if not user then return refuse(handle, settings, "user name and password are needed") end
  local right, problem = settings.list:verify(user, password)
  if problem then
    return handle:respond(
      { [":status"] = "429", ["grpc-status"] = handle:isGrpc() and "8" or nil }, "too many logins at once, try again")
  end
  if not right then return refuse(handle, settings, "wrong user name or password") end
  if settings.user_header then headers:replace(settings.user_header, user) end
  if not settings.forward then headers:remove "authorization" end
end

--- Lets in callers whose user name and password, sent as metadata, stand in a users file, for methods they may call.
--
-- Settings:
--   users             path of the users file; required
--   username          name of the header with the user name; default "username"
--   password          name of the header with the password; default "password"
--   forward_password  true: the upstream gets the password, too. Default: it does not

local moon = require "moon"

local SCHEMA = {
  users = { "string", required = true },
  username = { "string", default = "username" },
  password = { "string", default = "password" },
  forward_password = { "boolean", default = false },
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
  settings.list = checked(moon.users, settings.users, "methods")
  instances[config] = settings
end

local function refuse(handle, status, message, grpc_status)
  handle:respond({ [":status"] = status, ["grpc-status"] = handle:isGrpc() and grpc_status or nil }, message)
end

function on_request(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  local user, password = headers:get(settings.username), headers:get(settings.password)
  if not user or not password then return refuse(handle, "401", "user name and password are needed") end

  -- Waits here while the hash is computed beside the event loop; not at all if this password was right before.
  local right, problem = settings.list:verify(user, password)
  if problem then return refuse(handle, "429", "too many logins at once, try again", "8") end
  if not right then return refuse(handle, "401", "wrong user name or password") end

  if not settings.list:allows(user, headers:get(":path")) then
    return refuse(handle, "403", "this method is not allowed for " .. user)
  end
  handle:ctx().user = user
  if not settings.forward_password then headers:remove(settings.password) end
end

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

--- Settings of an instance -> the checked ones, with `passwords` to ask, and by user the methods that may be called.
local instances = setmetatable({}, { __mode = "k" })

--- Calls `call`. Its errors are about the settings, not about a line of this file: level 0 leaves the position out.
local function checked(call, ...)
  local ok, result = pcall(call, ...)
  if not ok then error(result, 0) end
  return result
end

--- The hash and the methods of one entry of the users file.
local function read_user(name, entry)
  local function check(condition, message)
    if not condition then error(("user %q: %s"):format(name, message), 0) end
  end
  check(type(entry) == "table", "password and allow are missing")
  for key in pairs(entry) do
    check(key == "password" or key == "allow", ("unknown key %q (known: allow, password)"):format(key))
  end
  check(type(entry.password) == "string", "password is missing (`moongate hash-password` makes one)")
  check(type(entry.allow) == "table", 'allow is missing (["*"] is every method)')
  local ok, methods = pcall(moon.methods, entry.allow)
  check(ok, methods)
  return entry.password, methods
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  local file = checked(moon.file, settings.users)
  if type(file) ~= "table" or type(next(file)) ~= "string" then
    error(settings.users .. " must hold users by name", 0)
  end
  local hashes = {}
  settings.allowed = {}
  for name, entry in pairs(file) do hashes[name], settings.allowed[name] = read_user(name, entry) end
  settings.passwords = checked(moon.passwords, hashes)
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
  local right, problem = settings.passwords:verify(user, password)
  if problem then return refuse(handle, "429", "too many logins at once, try again", "8") end
  if not right then return refuse(handle, "401", "wrong user name or password") end

  if not settings.allowed[user]:contains(headers:get(":path")) then
    return refuse(handle, "403", "this method is not allowed for " .. user)
  end
  handle:ctx().user = user
  if not settings.forward_password then headers:remove(settings.password) end
end

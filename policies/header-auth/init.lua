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
  username = "string",
  password = "string",
  forward_password = "boolean",
}

--- Settings of an instance -> `passwords` to ask, and by user the patterns of the paths they may call.
local instances = setmetatable({}, { __mode = "k" })

--- `shop.Cart/Get*` as a Lua pattern for paths: a star stands for anything but a slash, alone for every method.
local function pattern(glob)
  if glob == "*" then return "^/" end
  return "^/" .. glob:gsub("[^%w*]", "%%%0"):gsub("%*", "[^/]*") .. "$"
end

--- The hash and the patterns of one entry of the users file.
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
  local patterns = {}
  for _, glob in ipairs(entry.allow) do patterns[#patterns + 1] = pattern(glob) end
  return entry.password, patterns
end

--- Calls `call`. Its errors are about the settings, not about a line of this file: level 0 leaves the position out.
local function checked(call, argument)
  local ok, result = pcall(call, argument)
  if not ok then error(result, 0) end
  return result
end

function on_init(config)
  moon.settings(config, SCHEMA)
  local file = checked(moon.file, config.users)
  if type(file) ~= "table" or type(next(file)) ~= "string" then
    error(config.users .. " must hold users by name", 0)
  end
  local hashes, allowed = {}, {}
  for name, entry in pairs(file) do hashes[name], allowed[name] = read_user(name, entry) end
  instances[config] = { passwords = checked(moon.passwords, hashes), allowed = allowed }
end

local function is_allowed(patterns, path)
  for _, allowed in ipairs(patterns) do
    if path:find(allowed) then return true end
  end
  return false
end

local function refuse(handle, status, message, grpc_status)
  handle:respond({ [":status"] = status, ["grpc-status"] = handle:isGrpc() and grpc_status or nil }, message)
end

function on_request(handle)
  local config, headers = handle:config(), handle:headers()
  local instance = instances[config]
  local user = headers:get(config.username or "username")
  local password = headers:get(config.password or "password")
  if not user or not password then return refuse(handle, "401", "user name and password are needed") end

  -- Waits here while the hash is computed beside the event loop; not at all if this password was right before.
  local right, problem = instance.passwords:verify(user, password)
  if problem then return refuse(handle, "429", "too many logins at once, try again", "8") end
  if not right then return refuse(handle, "401", "wrong user name or password") end

  if not is_allowed(instance.allowed[user], headers:get(":path"):match("^[^?]*")) then
    return refuse(handle, "403", "this method is not allowed for " .. user)
  end
  handle:ctx().user = user
  if not config.forward_password then headers:remove(config.password or "password") end
end

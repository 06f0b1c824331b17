--- Lets through, or turns away, calls by their service and method.
--
-- Settings, at least one of the lists; both hold patterns such as shop.Cart/Get*, in which a star stands for anything
-- but a slash:
--   deny    what is turned away
--   allow   what is let through; without it, everything that is not denied
--   answer  "permission_denied" (or 403), the default; or "unimplemented" (or 404), as if there were no such method

local moon = require "moon"

local SCHEMA = {
  deny = { "list", of = "string", single = true },
  allow = { "list", of = "string", single = true },
  answer = { "string", values = { "permission_denied", "unimplemented" }, default = "permission_denied" },
}

--- Settings of an instance -> the checked ones.
local instances = setmetatable({}, { __mode = "k" })

local function methods(list)
  local ok, set = pcall(moon.methods, list)
  if not ok then error(set, 0) end
  return set
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if not settings.deny and not settings.allow then error("allow or deny is missing", 0) end
  settings.deny = methods(settings.deny or {})
  settings.allow = settings.allow and methods(settings.allow)
  instances[config] = settings
end

function on_request(handle)
  local settings = instances[handle:config()]
  local path = handle:headers():get ":path"
  if not settings.deny:contains(path) and (not settings.allow or settings.allow:contains(path)) then return end
  if settings.answer == "unimplemented" then
    return handle:respond({ [":status"] = "404" }, "no such method")
  end
  handle:respond({ [":status"] = "403" }, "this method is not allowed here")
end

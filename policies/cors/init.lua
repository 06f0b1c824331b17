--- Lets web pages of other origins call: answers browsers' preflight requests and marks the responses.
--
-- Settings:
--   origins      who may call: "https://app.example", "https://*.example", or "*"; required
--   methods      default [GET, HEAD, POST, PUT, PATCH, DELETE]
--   headers      request headers that pages may send; default: those of gRPC-Web, authorization and content-type
--   expose       response headers that pages may read; default: those of gRPC
--   credentials  true: pages may send cookies and the like. Default: they may not
--   max_age      how long browsers remember the answer; default 10m

local moon = require "moon"

local SCHEMA = {
  origins = { "list", of = "string", single = true, required = true, empty = false },
  methods = { "list", of = "string", default = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" } },
  headers = {
    "list", of = "string",
    default = { "authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent" },
  },
  expose = { "list", of = "string", default = { "grpc-status", "grpc-message", "grpc-status-details-bin" } },
  credentials = { "boolean", default = false },
  max_age = { "duration", default = 600, max = 86400 },
}

--- Settings of an instance -> the checked ones.
local instances = setmetatable({}, { __mode = "k" })

--- Sorts the origins: exact ones by name, and pairs of what stands before and behind the star.
local function read_origins(settings)
  settings.exact, settings.patterns = {}, {}
  for _, origin in ipairs(settings.origins) do
    local before, behind = origin:lower():match "^(%a[%w+.-]*://)%*(%.[%w.:-]+)$"
    if origin == "*" then
      settings.any = true
    elseif before then
      settings.patterns[#settings.patterns + 1] = { before, behind }
    elseif origin:lower():find "^%a[%w+.-]*://[%w.:%[%]-]+$" or origin == "null" then
      settings.exact[origin:lower()] = true
    else
      error(('origin "%s" is not like https://app.example, https://*.example or *'):format(origin), 0)
    end
  end
  if settings.any and settings.credentials then
    error('credentials need named origins: with "*" every page could act for its visitor', 0)
  end
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  read_origins(settings)
  for _, name in ipairs { "methods", "headers", "expose" } do
    for _, value in ipairs(settings[name]) do
      if value:find "[^%w!#$%%&'*+.^_`|~-]" or value == "" then error(name .. ": " .. value .. " is no name", 0) end
    end
    settings[name] = table.concat(settings[name], ", ")
  end
  instances[config] = settings
end

local function is_allowed(settings, origin)
  if settings.any then return true end
  origin = origin:lower()
  if settings.exact[origin] then return true end
  for _, pattern in ipairs(settings.patterns) do
    local before, behind = pattern[1], pattern[2]
    local middle = origin:sub(#before + 1, -#behind - 1)
    if origin:sub(1, #before) == before and #origin > #before + #behind and origin:sub(-#behind) == behind
      and not middle:find "[^%w.-]" then
      return true
    end
  end
  return false
end

function on_request(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  local origin = headers:get "origin"
  if not origin then return end
  local allowed = is_allowed(settings, origin)
  if headers:get ":method" == "OPTIONS" and headers:has "access-control-request-method" then
    if not allowed then return handle:respond({ [":status"] = "403" }, "this origin may not call") end
    handle:ctx()["cors.preflight"] = true
    handle:ctx()["cors.origin"] = origin
    return handle:respond({
      [":status"] = "200",
      ["access-control-allow-methods"] = settings.methods,
      ["access-control-allow-headers"] = settings.headers,
      ["access-control-max-age"] = ("%d"):format(settings.max_age),
    })
  end
  if allowed then handle:ctx()["cors.origin"] = origin end
end

--- Runs on the preflight's answer, too, and on refusals of policies behind this one: pages get to read them.
function on_response(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  -- The answer depends on who asks: caches must know (Fetch standard, "CORS protocol and HTTP caches").
  if not settings.any then headers:add("vary", "origin") end
  local origin = handle:ctx()["cors.origin"]
  if not origin then return end
  headers:replace("access-control-allow-origin", settings.any and "*" or origin)
  if settings.credentials then headers:replace("access-control-allow-credentials", "true") end
  if settings.expose ~= "" and not handle:ctx()["cors.preflight"] then
    headers:replace("access-control-expose-headers", settings.expose)
  end
end

--- Lets in callers with a JSON Web Token that is signed by a known key and says what it has to say.
--
-- Settings: where the keys are, and what the token must say; see README.md.

local moon = require "moon"

local SCHEMA = {
  key = "string",
  secret = "string",
  jwks = "string",
  secret_jwks = "string",
  jwks_upstream = "string",
  jwks_path = "string",
  refresh = { "duration", min = 1, max = 86400 },
  algorithms = { "list", of = "string", single = true, empty = false },
  issuer = { "list", of = "string", single = true, empty = false },
  audience = { "list", of = "string", single = true, empty = false },
  leeway = { "duration", default = 60, max = 3600 },
  required = { "list", of = "string", default = { "exp" } },
  header = { "string", default = "authorization" },
  cookie = "string",
  claims = { "map", of = { "list", of = "any", single = true, empty = false }, default = {} },
  headers = { "map", of = "string", default = {} },
  forward = { "boolean", default = true },
  optional = { "boolean", default = false },
}

--- Seconds after which a key set that could not be fetched is asked for again; also how long an answer may take.
local RETRY = 5

--- The sources of keys, of which one is named.
local SOURCES = { "key", "secret", "jwks", "secret_jwks", "jwks_upstream" }

--- Settings of an instance -> the checked ones, with its verifier.
local instances = setmetatable({}, { __mode = "k" })

--- Calls `call`. Its errors are about the settings, not about a line of this file: level 0 leaves the position out.
local function checked(call, ...)
  local ok, result = pcall(call, ...)
  if not ok then error(result, 0) end
  return result
end

--- Fetches the key set, now and again and again. The last good one stays in force whatever happens.
local function fetch(settings)
  local function again() fetch(settings) end
  -- Set before anything can go wrong: there is a next time whatever happens.
  local next_time = moon.timer.after(settings.refresh, again)
  local answer, reason = moon.http.get(
    settings.jwks_upstream, settings.jwks_path, { timeout = math.min(settings.refresh, RETRY) })
  if answer and answer.status == 200 then
    local done
    done, reason = settings.verifier:setKeys(answer.body)
    if done then return end
  elseif answer then
    reason = "status " .. answer.status
  end
  moon.log.warn("the key set was not fetched", { upstream = settings.jwks_upstream, reason = reason })
  if settings.refresh > RETRY then
    moon.timer.cancel(next_time)
    moon.timer.after(RETRY, again)
  end
end

--- What says where the key set is fetched.
local function check_fetch(settings)
  if not settings.jwks_upstream then
    if settings.jwks_path or settings.refresh then error("jwks_path and refresh are for jwks_upstream", 0) end
    return
  end
  checked(moon.upstream, settings.jwks_upstream)
  settings.jwks_path = settings.jwks_path or "/.well-known/jwks.json"
  if settings.jwks_path:sub(1, 1) ~= "/" then error("jwks_path must begin with a slash", 0) end
  settings.refresh = settings.refresh or 300
end

--- The lines that make a secret of the file that `key` names.
local function secret_lines(file)
  local name = file:match "([^/]+)$":gsub("%.[^.]*$", ""):gsub("[^%w_-]", "-"):gsub("^[^%a]+", "")
  if name == "" then name = "jwt" end
  return ("if it is a shared secret, write `secret: %s` here and `secrets: {%s: {file: %q}}` in the configuration")
    :format(name, name, file)
end

--- A verifier by the settings. Its errors name the setting and its file, and the line to write where there is one.
local function make_verifier(settings)
  local key = settings.key and checked(moon.file, settings.key, "text")
  local ok, result = pcall(moon.jwt.verifier, {
    key = key,
    secret = settings.secret and checked(moon.secret, settings.secret),
    jwks = settings.jwks and checked(moon.file, settings.jwks, "text"),
    secret_jwks = settings.secret_jwks and checked(moon.secret, settings.secret_jwks),
    algorithms = settings.algorithms,
    issuer = settings.issuer,
    audience = settings.audience,
    required = settings.required,
    leeway = settings.leeway,
  })
  if ok then return result end
  local reason = result:gsub("^moon%.jwt%.verifier: ", "")
  for _, name in ipairs(SOURCES) do
    if settings[name] then reason = ("%s: %s: %s"):format(name, settings[name], reason) end
  end
  if key and not key:find("-----BEGIN", 1, true) then reason = reason .. "; " .. secret_lines(settings.key) end
  error(reason, 0)
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  local sources = 0
  for _, name in ipairs(SOURCES) do
    sources = sources + (settings[name] and 1 or 0)
  end
  if sources ~= 1 then error("exactly one of " .. table.concat(SOURCES, ", ") .. " is needed", 0) end
  check_fetch(settings)
  settings.verifier = make_verifier(settings)
  if settings.jwks_upstream then
    moon.timer.after(0, function() fetch(settings) end, { worker = "all" })
  end
  instances[config] = settings
end

--- Where the token stands: in the header, behind `Bearer` in any case or alone, else in the cookie.
local function find_token(handle, settings)
  local value = handle:headers():get(settings.header)
  if value then
    local scheme, rest = value:match "^(%S+) +(%S+)$"
    if scheme and scheme:lower() == "bearer" then return rest end
    if settings.header:lower() ~= "authorization" and not value:find "%s" then return value end
  end
  local cookie = settings.cookie and handle:cookie(settings.cookie)
  return cookie and cookie:match '^"(.*)"$' or cookie
end

--- A claim by its name, or along a path such as `realm_access.roles`.
local function claim(claims, name)
  local value = claims[name]
  if value ~= nil then return value end
  value = claims
  for part in name:gmatch "[^.]+" do
    if type(value) ~= "table" then return nil end
    value = value[part]
  end
  return value
end

--- Whether a claim has one of the wanted values: alone, in a list, or as a word of `scope`.
local function has(value, wanted, is_scope)
  local values = type(value) == "table" and value or { value }
  if is_scope and type(value) == "string" then
    values = {}
    for word in value:gmatch "%S+" do values[#values + 1] = word end
  end
  for _, one in ipairs(values) do
    for _, other in ipairs(wanted) do
      if one == other then return true end
    end
  end
  return false
end

--- A claim as the value of a header; nil if it cannot be one.
local function text(value)
  if type(value) == "table" then
    local parts = {}
    for _, part in ipairs(value) do
      if type(part) == "table" then return nil end
      parts[#parts + 1] = tostring(part)
    end
    if #parts == 0 then return nil end
    value = table.concat(parts, ",")
  elseif type(value) == "userdata" then
    return nil
  end
  value = tostring(value)
  return not value:find "%c" and value or nil
end

local function refuse(handle, status, message, challenge)
  handle:respond({ [":status"] = status, ["www-authenticate"] = challenge }, message)
end

function on_request(handle)
  local settings, headers = instances[handle:config()], handle:headers()
  -- Nobody outside may say what only a token says.
  for _, name in pairs(settings.headers) do headers:remove(name) end

  local token = find_token(handle, settings)
  if not token then
    if settings.optional then return end
    return refuse(handle, "401", "a token is needed", "Bearer")
  end
  if not settings.verifier:hasKeys() then
    return handle:respond({ [":status"] = "503" }, "the keys for tokens are not known yet")
  end
  local claims, reason = settings.verifier:verify(token)
  if not claims then
    handle:logDebug("token refused: " .. reason)
    return refuse(handle, "401", "the token is not accepted: " .. reason, 'Bearer error="invalid_token"')
  end
  for name, wanted in pairs(settings.claims) do
    if not has(claim(claims, name), wanted, name == "scope" or name == "scp") then
      return refuse(handle, "403", "the token does not allow this: " .. name, 'Bearer error="insufficient_scope"')
    end
  end
  for name, header in pairs(settings.headers) do
    local value = claim(claims, name)
    value = value ~= nil and text(value)
    if value then headers:replace(header, value) end
  end
  if not settings.forward then
    headers:remove(settings.header)
    if settings.cookie then headers:removeCookie(settings.cookie) end
  end
end

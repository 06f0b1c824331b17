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
  max_age = { "duration", min = 1, max = 31536000 },
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

--- Seconds that the answer with a key set may take.
local TIMEOUT = 5
--- Seconds between two looks at whether the key set is due.
local LOOK = 0.5
--- Calls that may wait for one fetch, and how often and for how many seconds each looks whether it has ended.
local MOST_WAITS, TRIES, PAUSE = 64, 40, 0.05

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

--- Fetches the key set if it is due and no other worker or policy does. All of them see the keys that come, and the
--- last good ones stay in force.
local function fetch(settings)
  local verifier = settings.verifier
  if not verifier:beginFetch(settings.refresh) then return end
  settings.waits = 0
  local answer, reason = moon.http.get(
    settings.jwks_upstream, settings.jwks_path, { timeout = math.min(settings.refresh, TIMEOUT) })
  if answer and answer.status == 200 then
    local done
    done, reason = verifier:setKeys(answer.body)
    if done then return end
  elseif answer then
    reason = "status " .. answer.status
  end
  verifier:failFetch()
  moon.log.warn("the key set was not fetched", { upstream = settings.jwks_upstream, reason = reason })
end

--- Waits for a fetch that is due or under way. False: there is none, or too many wait for it.
local function await_keys(settings)
  if not settings.jwks_upstream or not settings.verifier:wantKeys() then return false end
  local now = moon.time.monotonic()
  if now - settings.waited_at > TRIES * PAUSE then settings.waits = 0 end
  if settings.waits >= MOST_WAITS then return false end
  settings.waits, settings.waited_at = settings.waits + 1, now
  for _ = 1, TRIES do
    moon.sleep(PAUSE)
    if not settings.verifier:wantKeys() then return true end
  end
  return false
end

--- What says where the key set is fetched.
local function check_fetch(settings)
  if not settings.jwks_upstream then
    if settings.jwks_path or settings.refresh or settings.max_age then
      error("jwks_path, refresh and max_age are for jwks_upstream", 0)
    end
    return
  end
  checked(moon.upstream, settings.jwks_upstream)
  settings.jwks_path = settings.jwks_path or "/.well-known/jwks.json"
  if settings.jwks_path:sub(1, 1) ~= "/" then error("jwks_path must begin with a slash", 0) end
  settings.refresh = settings.refresh or 300
  settings.waits, settings.waited_at = 0, 0
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
    jwks_upstream = settings.jwks_upstream,
    jwks_path = settings.jwks_path,
    max_age = settings.max_age,
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
    local function look() fetch(settings) end
    moon.timer.after(0, look, { worker = "all" })
    moon.timer.every(LOOK, look, { worker = "all" })
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

--- The claims of a token, or nil and the reason. A key that is not known may have come since the last fetch.
local function verify(settings, token)
  local claims, reason = settings.verifier:verify(token)
  local is_unknown = reason == "unknown key" or reason == "algorithm not allowed"
  if claims or not is_unknown or not await_keys(settings) then return claims, reason end
  return settings.verifier:verify(token)
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
  if not settings.verifier:hasKeys() and not (await_keys(settings) and settings.verifier:hasKeys()) then
    return handle:respond({ [":status"] = "503" }, "the keys for tokens are not known yet")
  end
  local claims, reason = verify(settings, token)
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

--- Asks an auth service about every request: its answer lets the request go on, or is the client's answer.
--
-- Settings:
--   upstream          the auth service: an upstream of the configuration; required
--   path              the path that is asked, whatever the request's is
--   path_prefix       put before the request's path, if `path` is not set; default ""
--   method            of the question; default: the request's
--   authority         of the question; default: the request's
--   request_headers   names of headers that go along; default authorization and cookie
--   request_body      true: the request's body goes along, once all of it has come; default false
--   timeout           how long the answer may take; default 1s
--   upstream_headers  names of headers of the answer that the upstream gets; what the client sent under these names
--                     never gets there
--   client_headers    names of headers of the answer that the client gets with the response
--   denial_headers    names of headers of the answer that the client gets when the request is refused; default
--                     www-authenticate, location and set-cookie
--   fail_open         true: without an answer the request goes on. Default: it is refused
--   error_status      HTTP status of that refusal; default 403

local moon = require "moon"

local names = { "list", of = "string" }

local SCHEMA = {
  upstream = { "string", required = true },
  path = "string",
  path_prefix = "string",
  method = "string",
  authority = "string",
  request_headers = { "list", of = "string", default = { "authorization", "cookie" } },
  request_body = { "boolean", default = false },
  timeout = { "duration", default = 1, min = 0.001, max = 60 },
  upstream_headers = names,
  client_headers = names,
  denial_headers = { "list", of = "string", default = { "www-authenticate", "location", "set-cookie" } },
  fail_open = { "boolean", default = false },
  error_status = { "integer", default = 403, min = 400, max = 599 },
}

--- Settings as the configuration gives them -> settings with defaults.
local instances = setmetatable({}, { __mode = "k" })

local function lower(list)
  local lowered = {}
  for index, name in ipairs(list or {}) do lowered[index] = name:lower() end
  return lowered
end

--- Headers that every question has of its own.
local OWN = {
  host = true, te = true, connection = true, upgrade = true, ["content-length"] = true, ["keep-alive"] = true,
  ["proxy-connection"] = true, ["transfer-encoding"] = true,
}

local function without_own(list)
  local left = {}
  for _, name in ipairs(list) do
    if not OWN[name] and name:sub(1, 1) ~= ":" then left[#left + 1] = name end
  end
  return left
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  moon.upstream(settings.upstream)
  for _, key in ipairs({ "path", "path_prefix" }) do
    local value = settings[key] or ""
    if value ~= "" and value:sub(1, 1) ~= "/" then error(key .. " must begin with a slash", 0) end
  end
  if settings.path and settings.path_prefix then error("path and path_prefix exclude each other", 0) end
  for _, key in ipairs({ "request_headers", "upstream_headers", "client_headers", "denial_headers" }) do
    settings[key] = lower(settings[key])
  end
  settings.request_headers = without_own(settings.request_headers)
  instances[config] = settings
end

--- The question to the auth service: the headers that go along, and what the request is. Headers and body go from the
--- request to the question without becoming strings here: many questions would fill the policy's memory.
local function question(handle, settings)
  local headers = handle:headers()
  local path = headers:get(":path")
  local told = {
    ["x-forwarded-method"] = headers:get(":method"),
    ["x-forwarded-proto"] = headers:get(":scheme"),
    ["x-forwarded-host"] = headers:get(":authority"),
    ["x-forwarded-uri"] = path,
    ["x-forwarded-for"] = handle:remoteAddress(),
  }
  for _, name in ipairs(settings.request_headers) do
    if told[name] and headers:has(name) then told[name] = nil end
  end
  return {
    upstream = settings.upstream,
    path = settings.path or (settings.path_prefix or "") .. path,
    method = settings.method or headers:get(":method"),
    authority = settings.authority or headers:get(":authority"),
    headers = told,
    forward = settings.request_headers,
    body = settings.request_body and handle:body() or nil,
    timeout = settings.timeout,
  }
end

--- The values of one header of an answer, as a list.
local function values_of(answer, name)
  local value = answer.headers[name]
  return type(value) == "table" and value or { value }
end

--- Only the auth service may set these headers.
local function set_upstream_headers(headers, settings, answer)
  for _, name in ipairs(settings.upstream_headers) do
    headers:remove(name)
    if answer then
      for _, value in ipairs(values_of(answer, name)) do headers:add(name, value) end
    end
  end
end

--- gRPC callers get the status that stands for the HTTP status. Where there is a page to log in at, they are told what
--- that means.
local function refuse(handle, settings, answer)
  local headers = { [":status"] = answer.status }
  for _, name in ipairs(settings.denial_headers) do headers[name] = answer.headers[name] end
  local body = answer.body
  if handle:isGrpc() then
    if answer.status < 400 then headers["grpc-status"] = 16 end
    local kind = values_of(answer, "content-type")[1] or ""
    if kind:find("^text/html") then body = "not allowed by the auth service" end
  else
    headers["content-type"] = answer.headers["content-type"]
  end
  handle:respond(headers, body)
end

function on_request(handle)
  local settings = instances[handle:config()]
  local answer, problem = moon.http.request(question(handle, settings))
  if answer and answer.status >= 500 then answer, problem = nil, "status " .. answer.status end
  if not answer then
    handle:logErr("auth service " .. settings.upstream .. ": " .. problem)
    if not settings.fail_open then
      return handle:respond({ [":status"] = settings.error_status }, "the auth service cannot be asked")
    end
  elseif answer.status >= 300 then
    return refuse(handle, settings, answer)
  end
  set_upstream_headers(handle:headers(), settings, answer)
  if answer and #settings.client_headers > 0 then handle:ctx()[settings] = answer.headers end
end

function on_response(handle)
  local settings = instances[handle:config()]
  local given = handle:ctx()[settings]
  if not given then return end
  for _, name in ipairs(settings.client_headers) do
    local value = given[name]
    for _, each in ipairs(type(value) == "table" and value or { value }) do handle:headers():add(name, each) end
  end
end

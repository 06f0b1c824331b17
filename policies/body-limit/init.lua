--- Bounds the sizes of bodies, and of the messages of gRPC calls.
--
-- Settings, at least one of them; sizes such as 64KiB:
--   request           bytes of a request's body, all messages of a stream together
--   response          the same of a response
--   request_message   bytes of one gRPC message of a request
--   response_message  the same of a response

local moon = require "moon"

local SIZE = { "size", min = 1 }
local SCHEMA = { request = SIZE, response = SIZE, request_message = SIZE, response_message = SIZE }

--- Flag and length in front of a gRPC message.
local PREFIX = 5

--- Settings of an instance -> the checked ones.
local instances = setmetatable({}, { __mode = "k" })

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if not next(settings) then error("request, response, request_message or response_message is missing", 0) end
  instances[config] = settings
end

local function refuse(handle, limit)
  local side = handle:isResponse() and "response" or "request"
  local text = ("the body of the %s is larger than %d bytes"):format(side, limit)
  if not handle:isGrpc() then
    pcall(handle.respond, handle, { [":status"] = handle:isResponse() and 500 or 413 }, text)
    -- Not even that: the client has a part of the response. What follows resets its stream.
  end
  handle:grpcRespond { status = "RESOURCE_EXHAUSTED", message = text }
end

--- The messages of a call; those of `policies.message_limit` if that is less than the policy's limit.
local function messages(handle, limit)
  local ok, next_message = pcall(handle.grpcMessages, handle, limit)
  return ok and next_message or handle:grpcMessages()
end

local function has_body(handle)
  if not handle:isResponse() then return true end
  local status = handle:headers():get ":status"
  return status ~= "304" and handle:requestHeaders():get ":method" ~= "HEAD"
end

--- Holds one direction to its limits; either may be nil.
local function bound(handle, limit, message_limit)
  local headers = handle:headers()
  local length = tonumber(headers:get "content-length")
  if limit and length and length > limit and has_body(handle) then return refuse(handle, limit) end
  local seen = 0
  local function count(bytes)
    seen = seen + bytes
    if limit and seen > limit then refuse(handle, limit) end
  end
  if message_limit and (headers:get "content-type" or ""):lower():find "^application/grpc" then
    for message in messages(handle, message_limit) do count(PREFIX + message:length()) end
  elseif limit and not length then
    -- With a length there cannot be more: a peer that sends more breaks the protocol, and is reset.
    for chunk in handle:bodyChunks() do count(chunk:length()) end
  end
end

function on_request(handle)
  local settings = instances[handle:config()]
  bound(handle, settings.request, settings.request_message)
end

function on_response(handle)
  local settings = instances[handle:config()]
  bound(handle, settings.response, settings.response_message)
end

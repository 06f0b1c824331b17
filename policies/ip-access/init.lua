--- Lets clients in, or keeps them out, by their address.
--
-- Settings, at least one of them; both are lists of networks, written `10.0.0.0/8`, `2001:db8::/32` or as one address:
--   deny   who is kept out
--   allow  who is let in; without it, everybody who is not denied
-- An entry `{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}` means the network without its exceptions. `deny` goes first.

local moon = require "moon"

local LIST = { "list", of = "any" }
local SCHEMA = { allow = LIST, deny = LIST }
local ENTRY = {
  cidr = { "list", of = "string", single = true, required = true },
  except = { "list", of = "string", single = true, default = {} },
}

--- Settings of an instance -> its lists, compiled.
local instances = setmetatable({}, { __mode = "k" })

--- A set of addresses. An error is about the settings, not about this line: level 0 leaves the position out.
local function networks(list)
  local ok, set = pcall(moon.cidr, list)
  if not ok then error(set, 0) end
  return set
end

--- All plain networks as one set, and one pair of sets for each network with exceptions.
local function compile(entries)
  local plain, list = {}, {}
  for _, entry in ipairs(entries) do
    if type(entry) ~= "table" then
      plain[#plain + 1] = entry
    else
      entry = moon.settings(entry, ENTRY)
      list[#list + 1] = { inside = networks(entry.cidr), outside = networks(entry.except) }
    end
  end
  list[#list + 1] = { inside = networks(plain), outside = networks {} }
  return list
end

function on_init(config)
  local settings = moon.settings(config, SCHEMA)
  if not settings.allow and not settings.deny then error("allow or deny is missing", 0) end
  instances[config] = { allow = settings.allow and compile(settings.allow), deny = compile(settings.deny or {}) }
end

local function contains(list, address)
  for _, entry in ipairs(list) do
    if entry.inside:contains(address) and not entry.outside:contains(address) then return true end
  end
  return false
end

function on_request(handle)
  local lists = instances[handle:config()]
  local address = handle:streamInfo():downstreamRemoteAddress()
  if contains(lists.deny, address) or (lists.allow and not contains(lists.allow, address)) then
    handle:respond({ [":status"] = "403" }, "your address is not allowed here")
  end
end

describe("canary", function()
  local options = { upstreams = { "main", "next" } }

  local function upstream(settings, headers)
    settings.upstream = "next"
    return load_policy("canary", settings, options):request({ grpc = "/shop.Cart/Add", headers = headers }).upstream
  end

  it("goes by the header", function()
    local settings = { header = "env" }
    expect(upstream(settings, { env = "canary" })):to_equal("next")
    expect(upstream(settings, { env = "stable" })):to_be_nil()
    expect(upstream(settings, {})):to_be_nil()
    expect(upstream({ header = "env", value = "blue" }, { env = "blue" })):to_equal("next")
  end)

  it("lets the header keep a request off the canary", function()
    expect(upstream({ header = "env", weight = 100 }, { env = "stable" })):to_be_nil()
  end)

  it("sends everybody or nobody at the ends of the scale", function()
    expect(upstream({ weight = 100 })):to_equal("next")
    expect(upstream({ weight = 0 })):to_be_nil()
  end)

  it("gives the same user the same answer, and about the share that was asked for", function()
    local policy = load_policy("canary", { upstream = "next", weight = 20, sticky = "x-user" }, options)
    local function choice(user)
      return policy:request({ grpc = "/shop.Cart/Add", headers = { ["x-user"] = user } }).upstream
    end
    local hits = 0
    for number = 1, 500 do
      local user = "user-" .. number
      local first = choice(user)
      expect(choice(user)):to_equal(first)
      if first == "next" then hits = hits + 1 end
    end
    expect(hits):to_be_near(100, 40)
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("canary", settings, options) end end
    expect(load { weight = 5 }):to_raise("upstream is missing")
    expect(load { upstream = "next", share = 5 }):to_raise('unknown setting "share"')
    expect(load { upstream = "next", weight = 101 }):to_raise("weight")
    expect(load { upstream = "next", weight = "5" }):to_raise("weight")
  end)
end)

describe("ip-access", function()
  local function status(settings, remote)
    return load_policy("ip-access", settings):request({ grpc = "/shop.Cart/Add", remote = remote }).grpc_status
  end

  it("lets in whom allow names, and nobody else", function()
    local settings = { allow = { "10.0.0.0/8", "192.0.2.7", "2001:db8::/32" } }
    for _, remote in ipairs { "10.1.2.3:5000", "192.0.2.7:5000", "[2001:db8::1]:5000" } do
      expect(status(settings, remote)):to_be_nil()
    end
    for _, remote in ipairs { "11.0.0.1:5000", "192.0.2.8:5000", "[2001:db9::1]:5000" } do
      expect(status(settings, remote)):to_equal(7)
    end
  end)

  it("keeps out whom deny names, and asks it first", function()
    expect(status({ deny = { "10.1.0.0/16" } }, "10.1.2.3:5000")):to_equal(7)
    expect(status({ deny = { "10.1.0.0/16" } }, "10.2.2.3:5000")):to_be_nil()
    expect(status({ allow = { "10.0.0.0/8" }, deny = { "10.1.2.3" } }, "10.1.2.3:5000")):to_equal(7)
  end)

  it("takes exceptions out of a network", function()
    local settings = { allow = { { cidr = "10.0.0.0/8", except = { "10.66.0.0/16" } } } }
    expect(status(settings, "10.1.2.3:5000")):to_be_nil()
    expect(status(settings, "10.66.2.3:5000")):to_equal(7)
    settings = { allow = { { cidr = "10.0.0.0/8" } } }
    expect(status(settings, "10.66.2.3:5000")):to_be_nil()
  end)

  it("reads networks from a file of lines or a list", function()
    local function listed(file, text, remote)
      local policy = load_policy("ip-access", { deny = file }, { files = { [file] = text } })
      return policy:request({ grpc = "/shop.Cart/Add", remote = remote }).grpc_status
    end
    local lines = "# offices\n10.1.0.0/16\n\n192.0.2.7\n"
    local list = { { cidr = { "10.1.0.0/16", "10.2.0.0/16" }, except = "10.1.9.0/24" }, "192.0.2.7" }
    for file, text in pairs { ["deny.txt"] = lines, ["deny.yaml"] = list, ["deny.json"] = list } do
      expect(listed(file, text, "10.1.2.3:5000")):to_equal(7)
      expect(listed(file, text, "192.0.2.7:5000")):to_equal(7)
      expect(listed(file, text, "192.0.2.8:5000")):to_be_nil()
    end
    expect(listed("deny.yaml", list, "10.1.9.3:5000")):to_be_nil()
    expect(function() listed("deny.txt", "10.0.0.0/8\n10.0.0.1/8\n") end)
      :to_raise('deny.txt:2:1: "10.0.0.1/8" has bits set outside its prefix')
    expect(function() listed("deny.yaml", { allow = { "10.0.0.0/8" } }) end):to_raise("must hold a list of networks")
  end)

  it("answers 403 to callers that do not speak gRPC", function()
    local result = load_policy("ip-access", { deny = { "0.0.0.0/0" } }):request { path = "/" }
    expect(result.status):to_equal(403)
    expect(result.response.body):to_equal("your address is not allowed here")
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("ip-access", settings) end end
    expect(load {}):to_raise("allow or deny is missing")
    expect(load { permit = {} }):to_raise('unknown setting "permit"')
    expect(load { allow = 10 }):to_raise("allow must be a list, or the path of a file")
    expect(load { allow = "10.0.0.0/8" }):to_raise("argument 1 is a network: write a list")
    expect(load { deny = "none.txt" }):to_raise("deny: moon.networks: argument 1: no such file")
    expect(load { allow = { { cidr = "10.0.0.0/8", expect = {} } } }):to_raise('unknown key "expect"')
    expect(load { allow = { { except = { "10.0.0.0/8" } } } }):to_raise("network 1 has no cidr")
    expect(load { allow = { "10.0.0.0/33" } }):to_raise("network 1 has a prefix")
  end)
end)

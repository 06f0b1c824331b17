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

  it("answers 403 to callers that do not speak gRPC", function()
    local result = load_policy("ip-access", { deny = { "0.0.0.0/0" } }):request { path = "/" }
    expect(result.status):to_equal(403)
    expect(result.response.body):to_equal("your address is not allowed here")
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("ip-access", settings) end end
    expect(load {}):to_raise("allow or deny is missing")
    expect(load { permit = {} }):to_raise('unknown setting "permit"')
    expect(load { allow = "10.0.0.0/8" }):to_raise("allow must be a list")
    expect(load { allow = { { cidr = "10.0.0.0/8", expect = {} } } }):to_raise('unknown setting "expect"')
    expect(load { allow = { "10.0.0.0/33" } }):to_raise("network 1 has a prefix")
  end)
end)

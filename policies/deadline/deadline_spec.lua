describe("deadline", function()
  local function timeout(settings, value)
    local call = { grpc = "/shop.Cart/Add", headers = { ["grpc-timeout"] = value } }
    return load_policy("deadline", settings):request(call).request.headers["grpc-timeout"]
  end

  it("caps deadlines", function()
    expect(timeout({ max = "30s" }, "1H")):to_equal("30000m")
    expect(timeout({ max = "30s" }, "31S")):to_equal("30000m")
    expect(timeout({ max = "30s" }, "29S")):to_equal("29S")
    expect(timeout({ max = "30s" }, "30000001u")):to_equal("30000m")
    expect(timeout({ max = "30s" }, "99999999n")):to_equal("99999999n")
    expect(timeout({ max = "24h" }, "99999999H")):to_equal("86400000m")
  end)

  it("gives deadlines to calls without one", function()
    expect(timeout { max = "30s" }):to_equal("30000m")
    expect(timeout { max = "30s", default = "5s" }):to_equal("5000m")
    expect(timeout { default = "250ms" }):to_equal("250m")
    expect(timeout({ default = "5s" }, "1H")):to_equal("1H")
  end)

  it("replaces malformed ones", function()
    for _, value in ipairs { "5", "S", "123456789S", "1.5S", "5 S", "-1S", "5s" } do
      expect(timeout({ max = "30s", default = "5s" }, value)):to_equal("5000m")
    end
  end)

  it("leaves requests without gRPC alone", function()
    expect(load_policy("deadline", { max = "1s" }):request({}).request.headers["grpc-timeout"]):to_be_nil()
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("deadline", settings) end end
    expect(load {}):to_raise("max or default is missing")
    expect(load { max = "1s", default = "2s" }):to_raise("default must not be longer than max")
    expect(load { max = 5 }):to_raise("max must be a duration")
    expect(load { max = "0s" }):to_raise("max must be 0.001 to 86400")
  end)
end)

describe("request-id", function()
  local function ask(settings, headers)
    return load_policy("request-id", settings):request {
      grpc = "/shop.Cart/Add", headers = headers, remote = "10.0.0.1:5000" }
  end

  it("makes a new id for the upstream and the response", function()
    local result = ask {}
    local id = result.request.headers["x-request-id"]
    expect(id):to_match("^%x+%-%x+%-4%x+%-%x+%-%x+$")
    expect(result:respond({ grpc_status = 0 }).response.headers["x-request-id"]):to_equal(id)
    expect(ask({ version = 7 }).request.headers["x-request-id"]):to_match("^%x+%-%x+%-7")
    local silent = ask { response = false }
    expect(silent:respond({ grpc_status = 0 }).response.headers["x-request-id"]):to_be_nil()
  end)

  it("takes ids from trusted clients only", function()
    local given = { ["x-request-id"] = "abc-123" }
    expect(ask({}, given).request.headers["x-request-id"]).never:to_equal("abc-123")
    expect(ask({ trusted = { "10.0.0.0/8" } }, given).request.headers["x-request-id"]):to_equal("abc-123")
    expect(ask({ trusted = { "10.1.0.0/16" } }, given).request.headers["x-request-id"]).never:to_equal("abc-123")
    for _, id in ipairs { "", "a b", 'a"b', ("x"):rep(129) } do
      local result = ask({ trusted = { "10.0.0.0/8" } }, { ["x-request-id"] = id })
      expect(result.request.headers["x-request-id"]):to_match("^%x+%-%x+%-4")
    end
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("request-id", settings) end end
    expect(load { version = 5 }):to_raise("version must be 4 or 7")
    expect(load { trusted = { "x" } }):to_raise("no IP address")
    expect(load { trust = {} }):to_raise('unknown setting "trust"')
  end)
end)

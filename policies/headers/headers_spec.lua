describe("headers", function()
  it("removes, sets and adds, in this order, on requests", function()
    local policy = load_policy("headers", {
      request = {
        remove = { "x-gone", "x-again" }, set = { ["x-set"] = "new", ["x-number"] = 5 },
        add = { ["x-again"] = "1", ["x-list"] = { "a", "b" } },
      },
    })
    local result = policy:request {
      grpc = "/shop.Cart/Add",
      headers = { ["x-gone"] = "1", ["x-again"] = "0", ["x-set"] = { "old", "older" }, ["x-list"] = "z" },
    }
    local headers = result.request.headers
    expect(headers["x-gone"]):to_be_nil()
    expect(headers["x-again"]):to_equal("1")
    expect(headers["x-set"]):to_equal("new")
    expect(headers["x-number"]):to_equal("5")
    expect(result.request:all("x-list")):to_equal { "z", "a", "b" }
    expect(result:respond({ headers = { ["x-gone"] = "1" } }).response.headers["x-gone"]):to_equal("1")
  end)

  it("does the same on responses", function()
    local policy = load_policy("headers", { response = { remove = { "server" }, add = { ["x-served-by"] = "edge" } } })
    local result = policy:request({ grpc = "/shop.Cart/Add" }):respond { headers = { server = "secret/1.0" } }
    expect(result.request.headers["x-served-by"]):to_be_nil()
    expect(result.response.headers.server):to_be_nil()
    expect(result.response.headers["x-served-by"]):to_equal("edge")
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("headers", settings) end end
    expect(load { requests = {} }):to_raise('unknown setting "requests"')
    expect(load { request = "x" }):to_raise("request must have add, remove or set")
    expect(load { request = { replace = {} } }):to_raise('unknown setting "replace" in request')
    expect(load { request = { set = "x" } }):to_raise("request.set must be a list or a map")
    expect(load { request = { set = { a = { "b" } } } }):to_raise("request.set: a must be a text")
    expect(load { request = { remove = { true } } }):to_raise("request.remove: must be a list of names")
  end)
end)

describe("method-allow", function()
  local function ask(settings, path) return load_policy("method-allow", settings):request { grpc = path } end
  local REFLECTION = { deny = "grpc.reflection.*/*", answer = "unimplemented" }

  it("turns reflection off", function()
    local result = ask(REFLECTION, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    expect(result.grpc_status):to_equal(12)
    expect(ask(REFLECTION, "/shop.Cart/Add").verdict):to_equal("proceeded")
  end)

  it("lets through what is listed, and denies first", function()
    local settings = { allow = { "shop.*/*" }, deny = { "*/Delete*" } }
    expect(ask(settings, "/shop.Cart/Add").verdict):to_equal("proceeded")
    expect(ask(settings, "/shop.Cart/DeleteAll").grpc_status):to_equal(7)
    expect(ask(settings, "/stock.Items/Get").grpc_status):to_equal(7)
    expect(ask(settings, "/shop.Cart/Add/x").grpc_status):to_equal(7)
    expect(ask({ allow = { "*" } }, "/any.Thing/At").verdict):to_equal("proceeded")
    expect(ask({ allow = {} }, "/shop.Cart/Add").grpc_status):to_equal(7)
    expect(ask({ allow = "shop.Cart/Get" }, "/shop.Cart/Get?x=/").verdict):to_equal("proceeded")
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("method-allow", settings) end end
    expect(load {}):to_raise("allow or deny is missing")
    expect(load { deny = "shop.Cart" }):to_raise("is no pattern")
    expect(load { deny = "*", answer = "no" }):to_raise("answer must be one of permission_denied, unimplemented")
  end)
end)

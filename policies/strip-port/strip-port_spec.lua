describe("strip-port", function()
  local function authority_behind(settings, authority, local_address)
    local policy = load_policy("strip-port", settings)
    local result = policy:request { grpc = "/shop.Cart/Add", authority = authority, local_address = local_address }
    expect(result.verdict):to_equal("proceeded")
    return result.request.headers[":authority"]
  end

  it("takes any port out", function()
    for before, after in pairs {
      ["shop.example:8080"] = "shop.example", ["shop.example"] = "shop.example", ["shop.example:"] = "shop.example",
      ["[::1]:443"] = "[::1]", ["[::1]"] = "[::1]", ["fe80::1"] = "fe80::1",
    } do
      expect(authority_behind({}, before)):to_equal(after)
    end
  end)

  it("takes only the listener's port out, if asked", function()
    local only = { only_listener_port = true }
    expect(authority_behind(only, "shop.example:8080", "10.0.0.9:8080")):to_equal("shop.example")
    expect(authority_behind(only, "shop.example:9090", "10.0.0.9:8080")):to_equal("shop.example:9090")
    expect(authority_behind(only, "shop.example:", "10.0.0.9:8080")):to_equal("shop.example:")
  end)

  it("refuses settings that it does not know", function()
    expect(function() load_policy("strip-port", { port = 80 }) end):to_raise('unknown setting "port"')
    expect(function() load_policy("strip-port", { only_listener_port = 80 }) end):to_raise("must be true or false")
  end)
end)

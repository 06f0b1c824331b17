describe("external-auth", function()
  local options = { upstreams = { "main", "auth" } }

  local function load(settings)
    return function() return load_policy("external-auth", settings, options) end
  end

  it("refuses what it cannot use", function()
    expect(load {}):to_raise("upstream")
    expect(load { upstream = "nosuch" }):to_raise("there is no upstream called 'nosuch'")
    expect(load { upstream = "auth", path = "check" }):to_raise("path must begin with a slash")
    expect(load { upstream = "auth", path = "/a", path_prefix = "/b" }):to_raise("exclude each other")
    expect(load { upstream = "auth", error_status = 200 }):to_raise("error_status")
    expect(load { upstream = "auth", fail_opne = true }):to_raise("fail_opne")
  end)

  it("takes what it needs", function()
    expect(load { upstream = "auth", path = "/check", timeout = "500ms" }()):to_be_truthy()
  end)
end)

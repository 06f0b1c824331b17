describe("cors", function()
  local SETTINGS = { origins = { "https://app.example", "https://*.trusted.example" } }

  local function preflight(origin, settings)
    return load_policy("cors", settings or SETTINGS):request {
      method = "OPTIONS", path = "/shop.Cart/Add",
      headers = { origin = origin, ["access-control-request-method"] = "POST" } }
  end

  local function call(origin, settings)
    return load_policy("cors", settings or SETTINGS)
      :request({ grpc = "/shop.Cart/Add", headers = { origin = origin } }):respond { grpc_status = 0 }
  end

  it("answers preflight requests", function()
    local result = preflight "https://app.example"
    expect(result.status):to_equal(200)
    local headers = result.response.headers
    expect(headers["access-control-allow-origin"]):to_equal("https://app.example")
    expect(headers["access-control-allow-methods"]):to_contain("POST")
    expect(headers["access-control-allow-headers"]):to_contain("x-grpc-web")
    expect(headers["access-control-max-age"]):to_equal("600")
    expect(headers.vary):to_equal("origin")
    expect(headers["access-control-allow-credentials"]):to_be_nil()
  end)

  it("marks responses for pages that may read them", function()
    local headers = call("https://a.b.trusted.example").response.headers
    expect(headers["access-control-allow-origin"]):to_equal("https://a.b.trusted.example")
    expect(headers["access-control-expose-headers"]):to_contain("grpc-status")
  end)

  it("leaves other origins to the browser, which refuses them", function()
    local others = { "https://evil.example", "https://app.example.evil.example", "http://app.example", "null",
      "https://trusted.example", "https://.trusted.example", "https://x/.trusted.example",
      "https://eviltrusted.example" }
    for _, origin in ipairs(others) do
      expect(preflight(origin).status):to_equal(403)
      local headers = call(origin).response.headers
      expect(headers["access-control-allow-origin"]):to_be_nil()
      expect(headers.vary):to_equal("origin")
    end
  end)

  it("lets OPTIONS without a preflight, and requests without origin, through", function()
    expect(load_policy("cors", SETTINGS):request({ method = "OPTIONS", headers = { origin = "https://app.example" } })
      .verdict):to_equal("proceeded")
    expect(load_policy("cors", SETTINGS):request({}).verdict):to_equal("proceeded")
  end)

  it("knows every origin, and credentials for named ones", function()
    expect(call("https://x.example", { origins = "*" }).response.headers["access-control-allow-origin"]):to_equal("*")
    local settings = { origins = "https://app.example", credentials = true }
    local headers = call("https://app.example", settings).response.headers
    expect(headers["access-control-allow-credentials"]):to_equal("true")
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("cors", settings) end end
    expect(load {}):to_raise("origins is missing")
    expect(load { origins = {} }):to_raise("origins is empty")
    expect(load { origins = "app.example" }):to_raise("is not like")
    expect(load { origins = "https://*" }):to_raise("is not like")
    expect(load { origins = "*", credentials = true }):to_raise("credentials need named origins")
    expect(load { origins = "*", methods = { "GE T" } }):to_raise("is no name")
  end)
end)

describe("security-headers", function()
  local function answer(settings, request, response)
    return load_policy("security-headers", settings):request(request or {}):respond(response or {}).response.headers
  end

  it("adds what browsers know and removes what tells too much", function()
    local sent = { server = "x/1.2", ["x-powered-by"] = "y", ["x-own"] = "z" }
    local headers = answer({}, { tls = true }, { headers = sent })
    expect(headers["x-content-type-options"]):to_equal("nosniff")
    expect(headers["x-frame-options"]):to_equal("DENY")
    expect(headers["referrer-policy"]):to_equal("strict-origin-when-cross-origin")
    expect(headers["strict-transport-security"]):to_equal("max-age=31536000; includeSubDomains")
    expect(headers["content-security-policy"]):to_be_nil()
    expect(headers.server):to_be_nil()
    expect(headers["x-powered-by"]):to_be_nil()
    expect(headers["x-own"]):to_equal("z")
  end)

  it("says nothing about TLS on connections without it", function()
    expect(answer({})["strict-transport-security"]):to_be_nil()
  end)

  it("keeps what the upstream says, and leaves out what is empty", function()
    local headers = answer({ referrer_policy = "", content_security_policy = "default-src 'self'" }, nil,
      { headers = { ["x-frame-options"] = "SAMEORIGIN" } })
    expect(headers["x-frame-options"]):to_equal("SAMEORIGIN")
    expect(headers["referrer-policy"]):to_be_nil()
    expect(headers["content-security-policy"]):to_equal("default-src 'self'")
  end)

  it("leaves gRPC alone unless asked", function()
    local grpc = { grpc = "/shop.Cart/Add" }
    local headers = answer({}, grpc, { headers = { server = "x" }, grpc_status = 0 })
    expect(headers["x-frame-options"]):to_be_nil()
    expect(headers.server):to_be_nil()
    expect(answer({ grpc = true }, grpc, { grpc_status = 0 })["x-frame-options"]):to_equal("DENY")
  end)

  it("refuses settings that cannot be meant", function()
    expect(function() load_policy("security-headers", { frame_options = true }) end):to_raise("must be a string")
    expect(function() load_policy("security-headers", { frame_options = "a\nb" }) end):to_raise("control character")
  end)
end)

describe("external-auth", function()
  local options = { upstreams = { "main", "auth" } }

  local function load(settings)
    return function() return load_policy("external-auth", settings, options) end
  end

  --- A policy with these settings beside the upstream; the request is a gRPC call unless it says something else.
  local function ask(settings, request)
    settings.upstream = "auth"
    request = request or {}
    if not request.path then request.grpc = request.grpc or "/shop.Cart/Add" end
    return load(settings)():request(request)
  end

  it("refuses what it cannot use", function()
    expect(load {}):to_raise("upstream")
    expect(load { upstream = "nosuch" }):to_raise("unknown upstream (known: auth, main)")
    expect(load { upstream = "auth", path = "check" }):to_raise("path must begin with a slash")
    expect(load { upstream = "auth", path = "/a", path_prefix = "/b" }):to_raise("exclude each other")
    expect(load { upstream = "auth", error_status = 200 }):to_raise("error_status")
    expect(load { upstream = "auth", fail_opne = true }):to_raise("fail_opne")
  end)

  it("takes what it needs", function()
    expect(load { upstream = "auth", path = "/check", timeout = "500ms" }()):to_be_truthy()
  end)

  it("tells the service what the request is", function()
    http.stub("auth", {})
    ask({ timeout = "250ms", request_headers = { "X-Token", "cookie" } }, {
      grpc = "/shop.Cart/Add", remote = "10.1.2.3:5000",
      headers = { ["x-token"] = { "a", "b" }, authorization = "secret", ["x-forwarded-uri"] = "/forged" },
    })
    local call = http.calls("auth")[1]
    expect(#http.calls()):to_equal(1)
    expect(call.headers[":method"]):to_equal("POST")
    expect(call.headers[":path"]):to_equal("/shop.Cart/Add")
    expect(call.headers[":authority"]):to_equal("shop.example")
    expect(call.headers["x-forwarded-method"]):to_equal("POST")
    expect(call.headers["x-forwarded-proto"]):to_equal("http")
    expect(call.headers["x-forwarded-host"]):to_equal("shop.example")
    expect(call.headers["x-forwarded-uri"]):to_equal("/shop.Cart/Add")
    expect(call.headers["x-forwarded-for"]):to_equal("10.1.2.3")
    expect(call.headers["x-token"]):to_equal("a,b")
    expect(call.headers.authorization):to_be_nil()
    expect(call.headers.cookie):to_be_nil()
    expect(call.body):to_equal("")
    expect(call.timeout):to_be_near(0.25)
  end)

  it("sends the body along if it is told to", function()
    http.stub("auth", {})
    ask({ request_body = true, request_headers = { "content-type" } }, {
      path = "/upload", method = "POST", body = "octets", headers = { ["content-type"] = "text/plain" },
    })
    local call = http.calls("auth")[1]
    expect(call.body):to_equal("octets")
    expect(call.headers["content-length"]):to_equal("6")
    expect(call.headers["content-type"]):to_equal("text/plain")
    ask({ request_body = true }, { path = "/page" })
    expect(http.calls("auth")[2].body):to_equal("")
  end)

  it("takes a header that goes along for what the service is told", function()
    http.stub("auth", {})
    ask({ request_headers = { "X-Forwarded-Proto", "x-forwarded-host", "host", ":path", "te" } }, {
      headers = { ["x-forwarded-proto"] = "gopher" },
    })
    local call = http.calls("auth")[1]
    expect(call.headers["x-forwarded-proto"]):to_equal("gopher")
    expect(call.headers["x-forwarded-host"]):to_equal("shop.example")
    expect(call.headers.te):to_be_nil()
  end)

  it("asks as it is told to", function()
    http.stub("auth", {})
    ask { path = "/check", method = "GET", authority = "auth.internal" }
    ask { path_prefix = "/auth" }
    local first, second = http.calls()[1].headers, http.calls()[2].headers
    expect({ first[":method"], first[":path"], first[":authority"] }):to_equal { "GET", "/check", "auth.internal" }
    expect(first["x-forwarded-uri"]):to_equal("/shop.Cart/Add")
    expect(second[":path"]):to_equal("/auth/shop.Cart/Add")
  end)

  it("lets go on with what the service says, and nobody else", function()
    http.stub("auth", { status = 204, headers = { ["x-user"] = "ada", ["x-groups"] = { "a", "b" }, other = "o" } })
    local result = ask({ upstream_headers = { "X-User", "x-groups", "x-role" } }, {
      headers = { ["x-user"] = "mallory", ["x-role"] = "root" },
    })
    expect(result.verdict):to_equal("proceeded")
    expect(result.request:all("x-user")):to_equal { "ada" }
    expect(result.request:all("x-groups")):to_equal { "a", "b" }
    expect(result.request.headers["x-role"]):to_be_nil()
    expect(result.request.headers.other):to_be_nil()
  end)

  it("gives the client what it is to get", function()
    http.stub("auth", { headers = { ["set-cookie"] = { "a=1", "b=2" }, ["x-plan"] = "pro" } })
    local result = ask({ client_headers = { "set-cookie", "x-plan", "x-none" } }):respond { grpc_status = 0 }
    expect(result.response:all("set-cookie")):to_equal { "a=1", "b=2" }
    expect(result.response.headers["x-plan"]):to_equal("pro")
    expect(result.response.headers["x-none"]):to_be_nil()
    expect(ask({}):respond({}).response.headers["x-plan"]):to_be_nil()
  end)

  it("refuses with the service's answer", function()
    http.stub("auth", {
      status = 401, body = "who are you?",
      headers = { ["www-authenticate"] = "Bearer", ["x-debug"] = "internal", ["content-type"] = "text/plain" },
    })
    local result = ask({}, { path = "/page" })
    expect(result.verdict):to_equal("replied")
    expect(result.status):to_equal(401)
    expect(result.response.body):to_equal("who are you?")
    expect(result.response.headers["www-authenticate"]):to_equal("Bearer")
    expect(result.response.headers["content-type"]):to_equal("text/plain")
    expect(result.response.headers["x-debug"]):to_be_nil()
    result = ask({ denial_headers = { "x-debug" } }, { path = "/page" })
    expect(result.response.headers["x-debug"]):to_equal("internal")
    expect(result.response.headers["www-authenticate"]):to_be_nil()
  end)

  it("speaks gRPC to gRPC callers", function()
    http.stub("auth", { status = 401, body = "who are you?" })
    local result = ask {}
    expect(result.grpc_status):to_equal(16)
    expect(result.grpc_message):to_equal("who are you?")
    http.stub("auth", { status = 403, body = "<html>no</html>", headers = { ["content-type"] = "text/html" } })
    result = ask {}
    expect(result.grpc_status):to_equal(7)
    expect(result.grpc_message):to_equal("not allowed by the auth service")
    http.stub("auth", { status = 302, headers = { location = "https://login.example/" } })
    result = ask {}
    expect(result.grpc_status):to_equal(16)
    expect(result.response.headers.location):to_equal("https://login.example/")
    expect(ask({}, { path = "/page" }).status):to_equal(302)
  end)

  it("is closed without an answer, unless it may be open", function()
    local answers = {
      timeout = { failure = "timeout" }, unavailable = { failure = "unavailable" }, reset = { failure = "reset" },
      ["status 503"] = { status = 503, body = "stack trace" },
    }
    for reason, answer in pairs(answers) do
      http.stub("auth", answer)
      local result = ask {}
      expect(result.verdict):to_equal("replied")
      expect(result.grpc_status):to_equal(7)
      expect(result.grpc_message):to_equal("the auth service cannot be asked")
      local lines = logs()
      expect(lines[#lines].message):to_contain("auth service auth: " .. reason)
      expect(ask({ error_status = 503 }, { path = "/page" }).status):to_equal(503)
      result = ask({ fail_open = true, upstream_headers = { "x-user" } }, { headers = { ["x-user"] = "mallory" } })
      expect(result.verdict):to_equal("proceeded")
      expect(result.request.headers["x-user"]):to_be_nil()
    end
  end)
end)

describe("jwt-auth", function()
  local SECRET = ("s"):rep(32)
  local function token(claims, options)
    local all = { exp = clock.now() // 1 + 3600, sub = "ada" }
    for name, value in pairs(claims or {}) do all[name] = value end
    return moon.jwt.sign(all, options or { alg = "HS256", key = SECRET })
  end

  local function jwks(keys)
    local list = {}
    for kid, secret in pairs(keys) do
      list[#list + 1] = { kty = "oct", kid = kid, k = moon.base64url.encode(secret) }
    end
    return moon.json.encode { keys = list }
  end

  local FILES = { ["keys.json"] = jwks { one = SECRET, two = ("t"):rep(32) } }

  local function ask(settings, headers, method)
    settings.jwks = settings.jwks or "keys.json"
    local policy = load_policy("jwt-auth", settings, { files = FILES })
    return policy:request { grpc = method or "/shop.Cart/Add", headers = headers }
  end

  local function bearer(claims, options)
    return { authorization = "Bearer " .. token(claims, options or { alg = "HS256", key = SECRET, kid = "one" }) }
  end

  it("lets a good token through, and keeps it", function()
    local headers = bearer()
    local result = ask({}, headers)
    expect(result.verdict):to_equal("proceeded")
    expect(result.request.headers.authorization):to_equal(headers.authorization)
    expect(ask({ forward = false }, headers).request.headers.authorization):to_be_nil()
    headers.authorization = headers.authorization:gsub("Bearer", "bEARER")
    expect(ask({}, headers).verdict):to_equal("proceeded")
  end)

  it("turns away callers without a token, or with a bad one", function()
    local result = ask({}, {})
    expect(result.grpc_status):to_equal(16)
    expect(result.response.headers["www-authenticate"]):to_equal("Bearer")
    local cases = {
      ["expired"] = bearer { exp = clock.now() // 1 - 61 },
      ["not yet valid"] = bearer { nbf = clock.now() // 1 + 90 },
      ["issued in the future"] = bearer { iat = clock.now() // 1 + 90 },
      ["unknown key"] = bearer({}, { alg = "HS256", key = SECRET, kid = "three" }),
      ["wrong signature"] = bearer({}, { alg = "HS256", key = SECRET, kid = "two" }),
      ["algorithm not allowed"] = bearer({}, { alg = "HS512", key = SECRET:rep(2), kid = "one" }),
      ["malformed"] = { authorization = "Bearer a.b" },
      ["missing claim exp"] = { authorization = "Bearer "
        .. moon.jwt.sign({ sub = "ada" }, { alg = "HS256", key = SECRET, kid = "one" }) },
    }
    for reason, headers in pairs(cases) do
      local refused = ask({}, headers)
      expect(refused.grpc_status):to_equal(16)
      expect(refused.grpc_message):to_contain(reason)
    end
    expect(ask({}, { authorization = "Basic YTpi" }).grpc_status):to_equal(16)
    expect(ask({ leeway = "2m" }, cases["expired"]).verdict):to_equal("proceeded")
  end)

  it("forgets a token that it remembers when it ends", function()
    clock.set(1800000000)
    local policy = load_policy("jwt-auth", { jwks = "keys.json", leeway = "0s" }, { files = FILES })
    local headers = bearer { exp = 1800000010 }
    local function ask_again() return policy:request({ grpc = "/shop.Cart/Add", headers = headers }).verdict end
    expect(ask_again()):to_equal("proceeded")
    clock.set(1800000009)
    expect(ask_again()):to_equal("proceeded")
    clock.set(1800000010)
    expect(ask_again()):to_equal("replied")
  end)

  it("goes by issuer and audience", function()
    local settings = { issuer = "https://id.example", audience = { "shop", "stock" } }
    local good = { iss = "https://id.example", aud = { "other", "stock" } }
    expect(ask(settings, bearer(good)).verdict):to_equal("proceeded")
    expect(ask(settings, bearer { iss = "https://evil.example", aud = "shop" }).grpc_message):to_contain("wrong issuer")
    expect(ask(settings, bearer { iss = "https://id.example", aud = "x" }).grpc_message):to_contain("wrong audience")
    expect(ask(settings, bearer { iss = "https://id.example" }).grpc_message):to_contain("wrong audience")
  end)

  it("wants claims for the route", function()
    local settings = { claims = { scope = "cart:write", ["realm.roles"] = { "admin", "clerk" } } }
    local result = ask(settings, bearer { scope = "cart:read cart:write", realm = { roles = { "clerk" } } })
    expect(result.verdict):to_equal("proceeded")
    expect(ask(settings, bearer { scope = "cart:writer", realm = { roles = { "clerk" } } }).grpc_status):to_equal(7)
    expect(ask(settings, bearer { scope = "cart:write", realm = { roles = { "guest" } } }).grpc_status):to_equal(7)
    expect(ask(settings, bearer { scope = "cart:write" }).grpc_status):to_equal(7)
  end)

  it("gives claims on as headers, and never the client's", function()
    local settings = { headers = { sub = "x-user", groups = "x-groups", level = "x-level", gone = "x-gone" } }
    local headers = bearer { groups = { "a", "b" }, level = 3, sub = "ada" }
    headers["x-user"], headers["x-gone"] = "root", "root"
    local seen = ask(settings, headers).request.headers
    expect(seen["x-user"]):to_equal("ada")
    expect(seen["x-groups"]):to_equal("a,b")
    expect(seen["x-level"]):to_equal("3")
    expect(seen["x-gone"]):to_be_nil()
    settings.optional = true
    local anonymous = ask(settings, { ["x-user"] = "root" })
    expect(anonymous.verdict):to_equal("proceeded")
    expect(anonymous.request.headers["x-user"]):to_be_nil()
    expect(ask(settings, { authorization = "Bearer x" }).grpc_status):to_equal(16)
  end)

  it("does not make headers of claims that would break them", function()
    local seen = ask({ headers = { sub = "x-user" } }, bearer { sub = "a\r\nx-admin: 1" }).request.headers
    expect(seen["x-user"]):to_be_nil()
  end)

  it("finds the token in another header or a cookie", function()
    local good = token({}, { alg = "HS256", key = SECRET, kid = "one" })
    expect(ask({ header = "x-token" }, { ["x-token"] = good }).verdict):to_equal("proceeded")
    expect(ask({ cookie = "session" }, { cookie = "a=b; session=" .. good }).verdict):to_equal("proceeded")
    expect(ask({ cookie = "session" }, { cookie = "xsession=" .. good }).grpc_status):to_equal(16)
  end)

  it("tells callers without gRPC by HTTP statuses", function()
    local policy = load_policy("jwt-auth", { jwks = "keys.json", claims = { role = "admin" } }, { files = FILES })
    expect(policy:request({ path = "/x" }).status):to_equal(401)
    expect(policy:request({ path = "/x", headers = bearer() }).status):to_equal(403)
  end)

  it("takes a shared secret of the configuration", function()
    local policy = load_policy("jwt-auth", { secret = "key" }, { secrets = { key = SECRET } })
    local function ask_with(options)
      return policy:request({ grpc = "/a.B/C", headers = { authorization = "Bearer " .. token({}, options) } }).verdict
    end
    expect(ask_with { alg = "HS256", key = SECRET }):to_equal("proceeded")
    expect(ask_with { alg = "HS256", key = ("t"):rep(32) }):to_equal("replied")
  end)

  describe("with a key set from an upstream", function()
    local options = { upstreams = { "main", "keys" } }
    local settings = { jwks_upstream = "keys", jwks_path = "/keys.json", refresh = "60s" }
    local one, two = jwks { one = SECRET }, jwks { two = ("t"):rep(32) }

    local function caller(policy)
      return function(name)
        local key = name == "two" and ("t"):rep(32) or SECRET
        local headers = bearer({ exp = clock.now() // 1 + 86400 }, { alg = "HS256", key = key, kid = name or "one" })
        return policy:request { grpc = "/shop.Cart/Add", headers = headers }.grpc_status
      end
    end

    it("fetches it at once, and again and again", function()
      http.stub("keys", { body = one })
      local ask_as = caller(load_policy("jwt-auth", settings, options))
      expect(http.calls()[1].headers[":path"]):to_equal("/keys.json")
      expect(ask_as "one"):to_be_nil()
      expect(ask_as "two"):to_equal(16)
      http.stub("keys", { body = two })
      clock.advance(59)
      expect(#http.calls()):to_equal(1)
      expect(ask_as "one"):to_be_nil()
      clock.advance(1)
      expect(#http.calls()):to_equal(2)
      expect(ask_as "one"):to_equal(16)
      expect(ask_as "two"):to_be_nil()
    end)

    it("denies until it has come", function()
      http.stub("keys", { failure = "unavailable" })
      local policy = load_policy("jwt-auth", settings, options)
      local ask_as = caller(policy)
      expect(ask_as()):to_equal(14)
      expect(logs()[1].fields.reason):to_contain("unavailable")
      expect(policy:request({ path = "/", headers = bearer() }).status):to_equal(503)
      expect(policy:request({ grpc = "/a.B/C" }).grpc_status):to_equal(16)
      for _, answer in ipairs { { status = 404 }, { body = "oops" }, { body = '{"keys": []}' } } do
        http.stub("keys", answer)
        clock.advance(5)
        expect(ask_as()):to_equal(14)
      end
      http.stub("keys", { body = one })
      clock.advance(5)
      expect(ask_as()):to_be_nil()
    end)

    it("keeps the last good one", function()
      http.stub("keys", { body = one })
      local ask_as = caller(load_policy("jwt-auth", settings, options))
      local answers = { { failure = "timeout" }, { status = 500 }, { body = "{" }, { body = '{"keys": []}' } }
      for _, answer in ipairs(answers) do
        http.stub("keys", answer)
        clock.advance(60)
        expect(ask_as()):to_be_nil()
      end
      expect(#logs()):to_be_greater_than(3)
    end)
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings)
      return function()
        load_policy("jwt-auth", settings, { files = {
          ["keys.json"] = FILES["keys.json"], ["none.json"] = '{"keys": []}', ["bad.json"] = "{",
          ["key.pem"] = "short" } })
      end
    end
    expect(load {}):to_raise("exactly one of key, secret, jwks and jwks_upstream is needed")
    expect(load { jwks = "none.json" }):to_raise("no key that fits")
    expect(load { jwks = "bad.json" }):to_raise("jwks")
    expect(load { jwks = "missing.json" }):to_raise("moon.file: argument 1: no such file")
    expect(load { key = "key.pem" }):to_raise("shorter than 32 bytes")
    expect(load { secret = "unknown" }):to_raise("unknown secret (there is none)")
    expect(load { jwks = "keys.json", algorithms = "none" }):to_raise("unknown algorithm (known: HS256")
    expect(load { jwks = "keys.json", algorithms = {} }):to_raise("algorithms is empty")
    expect(load { jwks_upstream = "nosuch" }):to_raise("unknown upstream (known: main)")
    expect(load { jwks = "keys.json", jwks_path = "/keys" }):to_raise("jwks_path and refresh are for jwks_upstream")
    expect(load { jwks_upstream = "main", jwks_path = "keys" }):to_raise("jwks_path must begin with a slash")
    expect(load { jwks = "keys.json", issuers = "x" }):to_raise('unknown setting "issuers"')
  end)
end)

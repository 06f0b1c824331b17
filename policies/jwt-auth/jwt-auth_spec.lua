describe("jwt-auth", function()
  local SECRET = ("s"):rep(32)
  --- Pairs of keys: the private one, and the public one as in a JWK and in PEM.
  local ONE = {
    private = [[-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICyMRoVzmYFduNMFeKZj4xSEdBi+Hpj2t/AiwN24ZOTc
-----END PRIVATE KEY-----
]],
    x = "-bB90AAHwVwFox6_H1PassWbdFmjvraxYzLlJG2FKgU",
    public = [[-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA+bB90AAHwVwFox6/H1PassWbdFmjvraxYzLlJG2FKgU=
-----END PUBLIC KEY-----
]],
  }
  local TWO = {
    private = [[-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINLjgGfu3qP9eRcT5ibZHz0gxIvR+4jJEys/S3sPuYwb
-----END PRIVATE KEY-----
]],
    x = "LZN-QnzlnnNc19HxWsEJo6w-sreOjc58tFWNbMp_6X0",
  }

  local function signed_by(pair, kid) return { alg = "EdDSA", key = pair.private, kid = kid } end

  local function token(claims, options)
    local all = { exp = clock.now() // 1 + 3600, sub = "ada" }
    for name, value in pairs(claims or {}) do all[name] = value end
    return moon.jwt.sign(all, options or signed_by(ONE, "one"))
  end

  --- A set of public keys, by name, with others behind them.
  local function jwks(pairs_by_name, others)
    local list = {}
    for kid, pair in pairs(pairs_by_name) do
      list[#list + 1] = { kty = "OKP", crv = "Ed25519", kid = kid, x = pair.x }
    end
    for _, jwk in ipairs(others or {}) do list[#list + 1] = jwk end
    return moon.json.encode { keys = list }
  end

  local function oct(kid, secret) return { kty = "oct", kid = kid, k = moon.base64url.encode(secret) } end

  local FILES = { ["keys.json"] = jwks { one = ONE, two = TWO } }

  local function ask(settings, headers, method)
    settings.jwks = settings.jwks or "keys.json"
    local policy = load_policy("jwt-auth", settings, { files = FILES })
    return policy:request { grpc = method or "/shop.Cart/Add", headers = headers }
  end

  local function bearer(claims, options) return { authorization = "Bearer " .. token(claims, options) } end

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
      ["unknown key"] = bearer({}, signed_by(ONE, "three")),
      ["wrong signature"] = bearer({}, signed_by(ONE, "two")),
      ["algorithm not allowed"] = bearer({}, { alg = "HS512", secret = SECRET:rep(2), kid = "one" }),
      ["malformed"] = { authorization = "Bearer a.b" },
      ["missing claim exp"] = { authorization = "Bearer "
        .. moon.jwt.sign({ sub = "ada" }, signed_by(ONE, "one")) },
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
    local good = token()
    expect(ask({ header = "x-token" }, { ["x-token"] = good }).verdict):to_equal("proceeded")
    expect(ask({ cookie = "session" }, { cookie = "a=b; session=" .. good }).verdict):to_equal("proceeded")
    expect(ask({ cookie = "session" }, { cookie = "xsession=" .. good }).grpc_status):to_equal(16)
  end)

  it("does not forward the cookie that it reads, and leaves the others as they are", function()
    local good = token()
    local settings = { cookie = "session", forward = false }
    local function left(cookie) return ask(settings, { cookie = cookie }).request.headers.cookie end
    expect(left("a=b; session=" .. good .. "; c=\"d\"")):to_equal('a=b; c="d"')
    expect(left("session=" .. good .. "; a=b")):to_equal("a=b")
    expect(left("xsession=1; session=" .. good .. "; Session=2; session=x")):to_equal("xsession=1; Session=2")
    expect(left("session=" .. good)):to_be_nil()
    expect(ask({ cookie = "session" }, { cookie = "session=" .. good }).request.headers.cookie):to_contain(good)
    -- One in the header counts; the cookie is a credential all the same.
    local headers = bearer()
    headers.cookie = "session=another; a=b"
    local seen = ask(settings, headers).request.headers
    expect(seen.authorization):to_be_nil()
    expect(seen.cookie):to_equal("a=b")
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
    expect(ask_with { alg = "HS256", secret = SECRET }):to_equal("proceeded")
    expect(ask_with { alg = "HS256", secret = ("t"):rep(32) }):to_equal("replied")
  end)

  it("takes several shared secrets of the configuration, by name", function()
    local set = moon.json.encode { keys = { oct("one", SECRET), oct("two", ("t"):rep(32)) } }
    local policy = load_policy("jwt-auth", { secret_jwks = "keys" }, { secrets = { keys = set } })
    local function ask_with(secret, kid)
      local headers = bearer({}, { alg = "HS256", secret = secret, kid = kid })
      return policy:request({ grpc = "/a.B/C", headers = headers }).verdict
    end
    expect(ask_with(SECRET, "one")):to_equal("proceeded")
    expect(ask_with(("t"):rep(32), "two")):to_equal("proceeded")
    expect(ask_with(SECRET, "two")):to_equal("replied")
  end)

  it("takes a public key wherever it stands in its file, and never as a secret", function()
    for _, before in ipairs { "", "\n", "\xef\xbb\xbf", "# idp\n", "Bag Attributes\n    friendlyName: idp\n" } do
      local file = before .. ONE.public
      local policy = load_policy("jwt-auth", { key = "idp.pem" }, { files = { ["idp.pem"] = file } })
      local function ask_with(header, signature_of)
        local text = moon.base64url.encode(header) .. "."
          .. moon.base64url.encode(moon.json.encode { exp = clock.now() // 1 + 60 })
        local sent = text .. "." .. moon.base64url.encode(signature_of(text))
        return policy:request({ grpc = "/a.B/C", headers = { authorization = "Bearer " .. sent } }).verdict
      end
      for _, secret in ipairs { file, ONE.public, (ONE.public:gsub("\n$", "")) } do
        local function mac(text) return moon.crypto.hmac("sha256", secret, text) end
        expect(ask_with('{"alg":"HS256"}', mac)):to_equal("replied")
      end
      expect(ask_with('{"alg":"none"}', function() return "" end)):to_equal("replied")
      expect(policy:request({ grpc = "/a.B/C", headers = bearer() }).verdict):to_equal("proceeded")
    end
  end)

  it("says which line to write where key and secret are confused", function()
    local function load(settings, files, secrets)
      return function() load_policy("jwt-auth", settings, { files = files, secrets = secrets }) end
    end
    local shared = load({ key = "keys/hmac.txt" }, { ["keys/hmac.txt"] = SECRET })
    expect(shared):to_raise("key holds no PEM")
    expect(shared):to_raise('write `secret: hmac` here and `secrets: {hmac: {file: "keys/hmac.txt"}}`')
    expect(load({ secret = "idp" }, {}, { idp = "# idp\n" .. ONE.public })):to_raise("name the file under key")
    expect(load({ key = "own.pem" }, { ["own.pem"] = ONE.private })):to_raise("key holds a private key")
    expect(load({ jwks = "k.json" }, { ["k.json"] = jwks({}, { oct("a", SECRET) }) })):to_raise("secret_jwks")
    expect(load({ secret_jwks = "k" }, {}, { k = jwks { one = ONE } })):to_raise("public keys belong under jwks")
  end)

  describe("with a key set from an upstream", function()
    local options = { upstreams = { "main", "keys" } }
    local settings = { jwks_upstream = "keys", jwks_path = "/keys.json", refresh = "60s" }
    local one, two = jwks({ one = ONE }, { oct("shared", SECRET) }), jwks { two = TWO }

    local function caller(policy)
      return function(name)
        local pair = name == "two" and TWO or ONE
        local headers = bearer({ exp = clock.now() // 1 + 86400 }, signed_by(pair, name or "one"))
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

    it("leaves out secrets, which everybody can fetch", function()
      http.stub("keys", { body = one })
      local policy = load_policy("jwt-auth", settings, options)
      for _, kid in ipairs { "shared", "one" } do
        local headers = bearer({}, { alg = "HS256", secret = SECRET, kid = kid })
        expect(policy:request({ grpc = "/shop.Cart/Add", headers = headers }).grpc_status):to_equal(16)
      end
    end)

    it("denies until it has come", function()
      http.stub("keys", { failure = "unavailable" })
      local policy = load_policy("jwt-auth", settings, options)
      local ask_as = caller(policy)
      expect(ask_as()):to_equal(14)
      expect(logs()[1].fields.reason):to_contain("unavailable")
      expect(policy:request({ path = "/", headers = bearer() }).status):to_equal(503)
      expect(policy:request({ grpc = "/a.B/C" }).grpc_status):to_equal(16)
      local secrets = moon.json.encode { keys = { oct("one", SECRET) } }
      for _, answer in ipairs { { status = 404 }, { body = "oops" }, { body = '{"keys": []}' }, { body = secrets } } do
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

  describe("with a key set that several policies fetch", function()
    local options = { upstreams = { "main", "keys" } }
    local settings = { jwks_upstream = "keys", jwks_path = "/keys.json", refresh = "60s" }

    local function call(policy, pair, name)
      local headers = bearer({ exp = clock.now() // 1 + 86400 * 9 }, signed_by(pair, name))
      return policy:request { grpc = "/shop.Cart/Add", headers = headers }.grpc_status
    end

    it("fetches it once, and keeps it over a reload", function()
      http.stub("keys", { body = jwks { one = ONE } })
      local first = load_policy("jwt-auth", settings, options)
      expect(call(first, ONE, "one")):to_be_nil()
      http.stub("keys", { failure = "unavailable" })
      local second = load_policy("jwt-auth", { jwks_upstream = "keys", jwks_path = "/keys.json" }, options)
      expect(call(second, ONE, "one")):to_be_nil()
      expect(#http.calls()):to_equal(1)
      clock.advance(70)
      expect(call(first, ONE, "one")):to_be_nil()
      expect(call(second, ONE, "one")):to_be_nil()
    end)

    it("fetches it before its time for a key that is not known, but not for each of them", function()
      http.stub("keys", { body = jwks { one = ONE } })
      local policy = load_policy("jwt-auth", settings, options)
      expect(call(policy, ONE, "one")):to_be_nil()
      http.stub("keys", { body = jwks { one = ONE, two = TWO } })
      clock.advance(11)
      expect(call(policy, TWO, "two")):to_be_nil()
      expect(#http.calls()):to_equal(2)
      for number = 1, 20 do expect(call(policy, TWO, "random" .. number)):to_equal(16) end
      expect(#http.calls()):to_equal(2)
    end)

    it("uses it for max_age and no longer", function()
      http.stub("keys", { body = jwks { one = ONE } })
      local policy = load_policy("jwt-auth", {
        jwks_upstream = "keys", jwks_path = "/aging.json", refresh = "10s", max_age = "30s" }, options)
      expect(call(policy, ONE, "one")):to_be_nil()
      http.stub("keys", { failure = "unavailable" })
      clock.advance(29)
      expect(call(policy, ONE, "one")):to_be_nil()
      clock.advance(2)
      expect(call(policy, ONE, "one")):to_equal(14)
      http.stub("keys", { body = jwks { one = ONE } })
      clock.advance(6)
      expect(call(policy, ONE, "one")):to_be_nil()
    end)
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings)
      return function()
        load_policy("jwt-auth", settings, { files = {
          ["keys.json"] = FILES["keys.json"], ["none.json"] = '{"keys": []}', ["bad.json"] = "{",
          ["key.pem"] = ONE.public }, secrets = { short = "short" } })
      end
    end
    expect(load {}):to_raise("exactly one of key, secret, jwks, secret_jwks, jwks_upstream is needed")
    expect(load { jwks = "none.json" }):to_raise("no key that fits")
    expect(load { jwks = "bad.json" }):to_raise("jwks")
    expect(load { jwks = "missing.json" }):to_raise("moon.file: argument 1: no such file")
    expect(load { secret = "short" }):to_raise("HS256 needs a secret of at least 32 bytes")
    expect(load { key = "key.pem", algorithms = "HS256" }):to_raise("HS256 does not fit the key")
    expect(load { secret = "unknown" }):to_raise("unknown secret (known: short)")
    expect(load { jwks = "keys.json", algorithms = "none" }):to_raise("unknown algorithm (known: HS256")
    expect(load { jwks = "keys.json", algorithms = {} }):to_raise("algorithms is empty")
    expect(load { jwks_upstream = "nosuch" }):to_raise("unknown upstream (known: main)")
    expect(load { jwks = "keys.json", jwks_path = "/keys" }):to_raise(
      "jwks_path, refresh and max_age are for jwks_upstream")
    expect(load { jwks_upstream = "main", jwks_path = "keys" }):to_raise("jwks_path must begin with a slash")
    expect(load { jwks = "keys.json", issuers = "x" }):to_raise('unknown setting "issuers"')
  end)
end)

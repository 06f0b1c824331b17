describe("basic-auth", function()
  local FILES = { ["users.yaml"] = { ada = hash_password "love:lace" } }

  local function ask(authorization, settings, request)
    settings = settings or {}
    settings.users = "users.yaml"
    request = request or { grpc = "/shop.Cart/Add" }
    request.headers = { authorization = authorization, ["x-user"] = "root" }
    return load_policy("basic-auth", settings, { files = FILES }):request(request)
  end
  local function basic(text) return "Basic " .. moon.base64.encode(text) end

  it("lets known users in", function()
    local result = ask(basic "ada:love:lace", { user_header = "x-user" })
    expect(result.verdict):to_equal("proceeded")
    expect(result.request.headers.authorization):to_be_nil()
    expect(result.request:all "x-user"):to_equal { "ada" }
    local kept = ask(basic("ada:love:lace"):gsub("Basic", "bASIC"), { forward = true })
    expect(kept.request.headers.authorization):to_contain("bASIC")
  end)

  it("turns others away", function()
    local bad = {
      "", "Basic", "Basic !!!", "Bearer x", basic "ada", basic "ada:", basic "ada:wrong", basic "eve:love:lace" }
    for _, value in ipairs(bad) do expect(ask(value).grpc_status):to_equal(16) end
    local result = ask(nil, { realm = "shop" }, { path = "/x" })
    expect(result.status):to_equal(401)
    expect(result.response.headers["www-authenticate"]):to_equal('Basic realm="shop", charset="UTF-8"')
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings, file)
      return function() load_policy("basic-auth", settings, { files = { ["u.yaml"] = file } }) end
    end
    expect(load({}, {})):to_raise("users is missing")
    expect(load({ users = "u.yaml" }, { "x" })):to_raise("must hold users by name")
    expect(load({ users = "u.yaml" }, { ["a:b"] = "x" })):to_raise("holds no colon")
    expect(load({ users = "u.yaml" }, { ada = "plain" })):to_raise('user "ada"')
    expect(load({ users = "u.yaml", realm = 'a"b' }, { ada = "x" })):to_raise("realm")
  end)
end)

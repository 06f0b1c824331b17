describe("header-auth", function()
  local hash = hash_password("lovelace")

  local function load(settings, allow)
    settings = settings or {}
    settings.users = settings.users or "users.yaml"
    local users = { ada = { password = hash, allow = allow or { "*" } } }
    return load_policy("header-auth", settings, { files = { ["users.yaml"] = users } })
  end

  local function ask(policy, headers, path)
    return policy:request { grpc = path or "/shop.Cart/Add", headers = headers }
  end

  local login = { username = "ada", password = "lovelace" }

  it("lets the right password in and keeps it from the upstream", function()
    local result = ask(load(), login)
    expect(result.verdict):to_equal("proceeded")
    expect(result.request.headers.username):to_equal("ada")
    expect(result.request.headers.password):to_be_nil()
  end)

  it("forwards the password, if asked", function()
    local result = ask(load { forward_password = true }, login)
    expect(result.request.headers.password):to_equal("lovelace")
  end)

  it("turns everybody else away as unauthenticated", function()
    local policy = load()
    for _, headers in ipairs {
      {}, { username = "ada" }, { password = "lovelace" }, { username = "ada", password = "wrong" },
      { username = "eve", password = "lovelace" },
    } do
      expect(ask(policy, headers).grpc_status):to_equal(16)
    end
    expect(policy:request({ path = "/" }).status):to_equal(401)
  end)

  it("allows methods by their names and stars", function()
    for allow, status in pairs {
      ["*"] = false, ["shop.Cart/Add"] = false, ["shop.Cart/*"] = false, ["*/Add"] = false, ["shop.Cart/Get*"] = 7,
      ["shopXCart/Add"] = 7,
    } do
      expect(ask(load({}, { allow }), login).grpc_status):to_equal(status or nil)
    end
    expect(ask(load({}, { "shop.Cart/Get*" }), login, "/shop.Cart/Get/Add").grpc_status):to_equal(7)
  end)

  it("takes other names of headers", function()
    local policy = load { username = "x-user", password = "x-key" }
    expect(ask(policy, { ["x-user"] = "ada", ["x-key"] = "lovelace" }).verdict):to_equal("proceeded")
  end)

  it("refuses settings and users files that cannot be meant", function()
    local function loading(settings, users)
      return function() load_policy("header-auth", settings, { files = { ["users.yaml"] = users } }) end
    end
    local settings = { users = "users.yaml" }
    expect(loading({}, "")):to_raise("users is missing")
    expect(loading({ user = "x" }, "")):to_raise('unknown setting "user"')
    expect(loading({ users = 3 }, "")):to_raise("users must be a string")
    expect(loading({ users = "none.yaml" }, "")):to_raise("moon.users: argument 1: no such file")
    expect(loading(settings, "- ada")):to_raise("must hold users by name")
    expect(loading(settings, { ada = "x" })):to_raise('user "ada": password and allow are missing')
    expect(loading(settings, { ada = { role = "x" } })):to_raise('unknown key "role"')
    expect(loading(settings, { ada = { allow = {} } })):to_raise("password is missing")
    expect(loading(settings, { ada = { password = hash } })):to_raise("allow is missing")
    expect(loading(settings, { ada = { password = "plain", allow = {} } })):to_raise('user "ada"')
    expect(loading(settings, { ada = { password = hash, allow = { "shop.Cart" } } }))
      :to_raise("user \"ada\": allow: pattern 1 is no pattern")
  end)
end)

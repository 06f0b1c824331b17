describe("api-key", function()
  local function hash(key) return moon.hex.encode(moon.crypto.sha256(key)) end
  local FILES = { ["keys.yaml"] = { ci = hash "k1", app = { sha256 = hash "k2", allow = { "shop.Cart/Get*" } } } }

  local function ask(headers, path, settings)
    settings = settings or {}
    settings.keys = "keys.yaml"
    return load_policy("api-key", settings, { files = FILES }):request {
      grpc = path or "/shop.Cart/Add", headers = headers }
  end

  it("knows a key by its hash and gives its name on", function()
    local result = ask { ["x-api-key"] = "k1", ["x-api-key-name"] = "root" }
    expect(result.verdict):to_equal("proceeded")
    expect(result.request:all "x-api-key-name"):to_equal { "ci" }
    expect(result.request.headers["x-api-key"]):to_be_nil()
  end)

  it("turns away missing and unknown keys", function()
    for _, headers in ipairs { {}, { ["x-api-key"] = "" }, { ["x-api-key"] = "k3" }, { ["x-api-key"] = hash "k1" } } do
      expect(ask(headers).grpc_status):to_equal(16)
    end
  end)

  it("lets a key call its methods only", function()
    expect(ask({ ["x-api-key"] = "k2" }, "/shop.Cart/GetAll").verdict):to_equal("proceeded")
    expect(ask({ ["x-api-key"] = "k2" }, "/shop.Cart/Add").grpc_status):to_equal(7)
  end)

  it("takes other names of headers, and keeps the key if asked", function()
    local result = ask({ ["X-Key"] = "k1" }, nil, { header = "x-key", name_header = "x-name", forward = true })
    expect(result.request.headers["x-name"]):to_equal("ci")
    expect(result.request.headers["x-key"]):to_equal("k1")
  end)

  it("refuses files that cannot be meant", function()
    local function load(file)
      return function() load_policy("api-key", { keys = "k.yaml" }, { files = { ["k.yaml"] = file } }) end
    end
    expect(load { "x" }):to_raise("k.yaml: the file must hold keys by name")
    expect(load { ci = "k1" }):to_raise('key "ci": sha256 must be 64 hexadecimal digits')
    expect(load { ci = { allow = {} } }):to_raise('key "ci": sha256 is missing')
    expect(load { a = hash "k", b = hash "k" }):to_raise("is the same as key")
    expect(load { a = { sha256 = hash "k", allow = { "x" } } }):to_raise("pattern 1 is no pattern")
    expect(function() load_policy("api-key", {}) end):to_raise("keys is missing")
  end)
end)

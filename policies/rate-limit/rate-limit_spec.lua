describe("rate-limit", function()
  local function statuses(settings, requests)
    local policy, list = load_policy("rate-limit", settings), {}
    for index, request in ipairs(requests) do list[index] = policy:request(request).grpc_status or 0 end
    return table.concat(list, " ")
  end

  local function call(headers, remote)
    return { grpc = "/shop.Cart/Add", headers = headers, remote = remote or "10.1.2.3:5000" }
  end

  it("lets the burst through", function()
    local settings = { rules = { { rate = 1, per = "hour", burst = 2 } } }
    expect(statuses(settings, { call(), call(), call() })):to_equal("0 0 8")
  end)

  it("counts addresses apart, IPv6 by network", function()
    local settings = { rules = { { by = "address", rate = 1, per = "hour" } } }
    expect(statuses(settings, {
      call({}, "10.0.0.1:1"), call({}, "10.0.0.2:1"), call({}, "10.0.0.1:2"),
      call({}, "[2001:db8::1]:1"), call({}, "[2001:db8::2]:1"), call({}, "[2001:db8:0:1::1]:1"),
    })):to_equal("0 0 8 0 8 0")
  end)

  it("keeps parts of a key apart", function()
    local settings = { rules = { { by = { "header:x-a", "header:x-b" }, rate = 1, per = "hour" } } }
    expect(statuses(settings, {
      call { ["x-a"] = "1", ["x-b"] = "21" }, call { ["x-a"] = "12", ["x-b"] = "1" },
      call { ["x-a"] = "1", ["x-b"] = "21" },
    })):to_equal("0 0 8")
  end)

  it("fills up again, and tells how much is left", function()
    clock.advance(0)
    local policy = load_policy("rate-limit", { headers = true, rules = { { rate = 1, per = "minute", burst = 2 } } })
    local first = policy:request(call()):respond {}
    expect(first.response.headers["ratelimit-limit"]):to_equal("2")
    expect(first.response.headers["ratelimit-remaining"]):to_equal("1")
    policy:request(call())
    local refused = policy:request(call())
    expect(refused.grpc_status):to_equal(8)
    expect(refused.response.headers["retry-after"]):to_equal("60")
    expect(refused.response.headers["ratelimit-remaining"]):to_equal("0")
    clock.advance(61)
    expect(policy:request(call()).verdict):to_equal("proceeded")
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("rate-limit", settings) end end
    expect(load {}):to_raise("rules")
    expect(load { rules = {} }):to_raise("rules is empty")
    expect(load { rules = { { rate = 0 } } }):to_raise("rate must be above 0")
    expect(load { rules = { { rate = 1, burst = 0 } } }):to_raise("burst must be at least 1")
    expect(load { rules = { { rate = 1, by = "phase" } } }):to_raise('by "phase" is none of')
    expect(load { rules = { { rate = 1 } }, limit = 5 }):to_raise('unknown setting "limit"')
  end)
end)

describe("body-limit", function()
  local function request(settings, fields) return load_policy("body-limit", settings):request(fields) end
  local function text(count) return ("x"):rep(count) end

  describe("bodies", function()
    it("refuses what is too large by its length", function()
      local result = request({ request = 10 }, { headers = { ["content-length"] = 11 }, body = text(11) })
      expect(result.status):to_equal(413)
      expect(result.response.body):to_equal("the body of the request is larger than 10 bytes")
      expect(request({ request = 10 }, { headers = { ["content-length"] = 10 }, body = text(10) }).request.body)
        :to_equal(text(10))
    end)

    it("counts what has no length", function()
      expect(request({ request = 10 }, { body = text(11) }).status):to_equal(413)
      expect(request({ request = 10 }, { body = text(10) }).request.body):to_equal(text(10))
    end)

    it("speaks gRPC to callers that do", function()
      local result = request({ request = 10 }, { grpc = "/a.B/C", messages = { "abc", "def" } })
      expect(result.grpc_status):to_equal(8)
      expect(result.grpc_message):to_match("request is larger than 10 bytes")
      expect(request({ request = 16 }, { grpc = "/a.B/C", messages = { "abc", "def" } }).request.messages)
        :to_equal { "abc", "def" }
    end)

    it("bounds responses", function()
      local function respond(fields) return request({ response = 10 }, {}):respond(fields) end
      local length = { ["content-length"] = 11 }
      expect(respond({ headers = length, body = text(11) }).status):to_equal(500)
      expect(respond({ status = 304, headers = length }).status):to_equal(304)
      expect(respond({ body = text(11) }).reset):to_equal(true)
      expect(respond({ body = text(10) }).response.body):to_equal(text(10))
    end)

    it("lets a HEAD say how long the body would be", function()
      local result = request({ response = 10 }, { method = "HEAD" }):respond { headers = { ["content-length"] = 11 } }
      expect(result.status):to_equal(200)
    end)

    it("ends gRPC responses by trailers", function()
      local result = request({ response = 10 }, { grpc = "/a.B/C" })
      result:respond { headers = { ["content-type"] = "application/grpc" }, body = text(11) }
      expect(result.grpc_status):to_equal(8)
    end)
  end)

  describe("messages", function()
    it("bounds each of them", function()
      local settings = { request_message = 3, response_message = 4 }
      local call = { grpc = "/a.B/C", messages = { "abc", "abc" } }
      local result = request(settings, call):respond { messages = { "abcd", "abcde", "a" } }
      expect(result.request.messages):to_equal { "abc", "abc" }
      expect(result.response.messages):to_equal { "abcd" }
      expect(result.grpc_status):to_equal(8)
      expect(request(settings, { grpc = "/a.B/C", messages = { "abcd" } }).grpc_status):to_equal(8)
    end)

    it("bounds the sum as well", function()
      local settings = { request_message = 3, request = 16 }
      expect(request(settings, { grpc = "/a.B/C", messages = { "abc", "abc" } }).verdict):to_equal("proceeded")
      expect(request(settings, { grpc = "/a.B/C", messages = { "abc", "abc", "" } }).grpc_status):to_equal(8)
    end)

    it("leaves other bodies alone", function()
      local settings = { request_message = 1, response_message = 1 }
      local result = request(settings, { body = text(9) }):respond { body = text(9) }
      expect(result.request.body):to_equal(text(9))
      expect(result.response.body):to_equal(text(9))
    end)

    it("takes the limit of all policies if that is less", function()
      expect(request({ request_message = "1GiB" }, { grpc = "/a.B/C", messages = { "abc" } }).request.messages)
        :to_equal { "abc" }
    end)
  end)

  it("refuses settings that cannot be meant", function()
    local function load(settings) return function() load_policy("body-limit", settings) end end
    expect(load {}):to_raise("request, response, request_message or response_message is missing")
    expect(load { request = 0 }):to_raise("request must be at least 1")
    expect(load { request = "lots" }):to_raise("request must be a size")
    expect(load { requests = 5 }):to_raise("unknown setting")
  end)
end)

/// The part of `moongate test` that is written in Lua: `describe` and `it`, `expect`, and the objects that specs use.
///
/// It runs in the spec's VM and drives the exchanges through the functions of `engine`, so that a stub written in Lua
/// can answer a policy that waits. The spec itself gets an environment without `engine`.
enum SpecPrelude {
    static let chunkName = "moongate/spec.lua"
    /// What specs find beside the names of Lua.
    static let globals: Set<String> = [
        "after_each", "before_each", "clock", "describe", "expect", "fail", "hash_password", "http", "it",
        "load_policies", "load_policy", "logs", "skip",
    ]
    static let source = suite + expectations + objects + ending
}

extension SpecPrelude {
    private static let suite = #"""
        local engine = __engine
        local source, chunk = engine.source()
        local root = { name = nil, before = {}, after = {}, tests = {} }
        local group, running = root, nil
        local tests = {}

        local function where(level)
          local ok, text = pcall(error, "", level + 3)
          return tonumber(tostring(text):match(":(%d+):")) or 0
        end

        local function need(value, kind, what)
          if type(value) ~= kind then error(("%s must be a %s, got %s"):format(what, kind, type(value)), 3) end
        end

        local spec = {}

        function spec.describe(name, body)
          need(name, "string", "the name of a group")
          need(body, "function", "the body of a group")
          if running then error("describe is for the outside of it", 2) end
          group = { name = name, parent = group, before = {}, after = {} }
          body()
          group = group.parent
        end

        local function add(name, body, skipped, line)
          local names, at = { name }, group
          while at.name do
            table.insert(names, 1, at.name)
            at = at.parent
          end
          tests[#tests + 1] = { group = group, body = body, skipped = skipped }
          engine.add(names, line)
        end

        function spec.it(name, body)
          need(name, "string", "the name of a test")
          need(body, "function", "the body of a test")
          if running then error("it cannot stand inside of it", 2) end
          add(name, body, false, where(1))
        end

        function spec.skip(name)
          need(name, "string", "the name of a test")
          add(name, nil, true, where(1))
        end

        function spec.before_each(body)
          need(body, "function", "before_each's argument")
          table.insert(group.before, body)
        end

        function spec.after_each(body)
          need(body, "function", "after_each's argument")
          table.insert(group.after, body)
        end

        local function befores(at)
          if at.parent then befores(at.parent) end
          for _, body in ipairs(at.before) do body() end
        end

        """#

    private static let expectations = #"""
        local function show(value, depth)
          if type(value) == "string" then return ("%q"):format(value):gsub("\\\n", "\\n") .. "" end
          if type(value) ~= "table" or depth > 3 then return tostring(value) end
          local parts = {}
          for index, item in ipairs(value) do parts[index] = show(item, depth + 1) end
          local keys = {}
          for key in pairs(value) do
            if math.type(key) ~= "integer" or key < 1 or key > #parts then keys[#keys + 1] = key end
          end
          table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
          for _, key in ipairs(keys) do parts[#parts + 1] = tostring(key) .. " = " .. show(value[key], depth + 1) end
          return "{ " .. table.concat(parts, ", ") .. " }"
        end

        local function equal(a, b, depth)
          if a == b then return true end
          if type(a) ~= "table" or type(b) ~= "table" or depth > 20 then return false end
          for key, value in pairs(a) do
            if not equal(value, b[key], depth + 1) then return false end
          end
          for key in pairs(b) do
            if a[key] == nil then return false end
          end
          return true
        end

        local function contains(list, wanted)
          if type(list) == "string" then return list:find(tostring(wanted), 1, true) ~= nil end
          if type(list) ~= "table" then return false end
          for _, value in pairs(list) do
            if equal(value, wanted, 0) then return true end
          end
          return false
        end

        local function raise(call)
          if type(call) ~= "function" then error("to_raise needs a function", 3) end
          local ok, message = pcall(call)
          return not ok, tostring(message)
        end

        -- name -> function(actual, argument): whether it holds, what was expected, what was found
        local checks = {
          to_equal = function(a, b) return equal(a, b, 0), "to equal " .. show(b, 0) end,
          to_be = function(a, b) return rawequal(a, b), "to be " .. show(b, 0) end,
          to_be_truthy = function(a) return not not a, "to be truthy" end,
          to_be_falsy = function(a) return not a, "to be false or nil" end,
          to_be_nil = function(a) return a == nil, "to be nil" end,
          to_be_a = function(a, kind) return type(a) == kind, "to be a " .. tostring(kind) end,
          to_match = function(a, pattern)
            return type(a) == "string" and a:find(pattern) ~= nil, "to match " .. show(pattern, 0)
          end,
          to_contain = function(a, b) return contains(a, b), "to contain " .. show(b, 0) end,
          to_be_less_than = function(a, b) return a < b, "to be less than " .. show(b, 0) end,
          to_be_greater_than = function(a, b) return a > b, "to be greater than " .. show(b, 0) end,
          to_be_near = function(a, b, by)
            return math.abs(a - b) <= (by or 1e-6), ("to be %s within %s"):format(show(b, 0), tostring(by or 1e-6))
          end,
          to_raise = function(call, text)
            local raised, message = raise(call)
            local holds = raised and (text == nil or message:find(text, 1, true) ~= nil)
            local found = raised and ("an error: " .. message) or "no error"
            return holds, "to raise " .. (text and show(text, 0) or "an error"), found
          end,
        }

        local function expectation(actual, inverse)
          return setmetatable({}, {
            __index = function(self, name)
              if name == "never" then return expectation(actual, not inverse) end
              local check = checks[name]
              if not check then error(("expect has no %q"):format(tostring(name)), 2) end
              return function(this, ...)
                if this ~= self then error(("call it with a colon: expect(x):%s(…)"):format(name), 2) end
                local holds, wanted, found = check(actual, ...)
                if holds == inverse then
                  error(("expected %s %s%s"):format(found or show(actual, 0), inverse and "not " or "", wanted), 2)
                end
              end
            end,
          })
        end

        function spec.expect(actual) return expectation(actual, false) end

        function spec.fail(message) error(tostring(message or "failed"), 2) end

        """#

    private static let objects = #"""
        local lower = {
          __index = function(self, name) return type(name) == "string" and rawget(self, name:lower()) or nil end,
        }

        local function head(fields)
          local map = {}
          for _, field in ipairs(fields) do
            local before = map[field[1]]
            map[field[1]] = before and before .. "," .. field[2] or field[2]
          end
          return setmetatable(map, lower)
        end

        local Message = {}
        Message.__index = Message

        function Message:all(name)
          local found = {}
          for _, field in ipairs(self.fields) do
            if field[1] == name:lower() then found[#found + 1] = field[2] end
          end
          return found
        end

        local function message(view)
          view.headers = head(view.fields)
          view.trailers = head(view.trailers or {})
          return setmetatable(view, Message)
        end

        local stubs, calls = {}, {}

        local function reply_to(call)
          local stub = stubs[call.upstream]
          if stub == nil then
            error(("the policy calls %s, but the spec has no http.stub for it"):format(call.upstream), 0)
          end
          if type(stub) == "function" then stub = stub(call) end
          if type(stub) ~= "table" then error(("the stub for %s gave no table"):format(call.upstream), 0) end
          return stub
        end

        -- Lets the stub answer. The policy goes on in any case, so that nothing waits for ever.
        local function answer(call)
          local number = call.number
          call.headers, call.number, call.fields = head(call.fields), nil, nil
          if (call.headers["content-type"] or ""):find("^application/grpc") then call.message = call.body:sub(6) end
          calls[#calls + 1] = call
          local ok, reply = pcall(reply_to, call)
          local fine, fault = pcall(engine.answer, number, ok and reply or { failure = "unavailable" })
          if not ok or not fine then error(ok and fault or reply, 0) end
        end

        local function settle(id)
          for call in function() return engine.wait(id) end do answer(call) end
        end

        -- What timers do while time passes.
        local function pass()
          for call in function() return engine.pass() end do answer(call) end
        end

        local Result = {}
        Result.__index = Result

        local function refresh(result)
          local view = engine.view(rawget(result, "id"))
          for key, value in pairs(view) do result[key] = value end
          result.request = message(view.request)
          result.response = view.response and message(view.response) or nil
          local response = result.response
          result.status = response and math.tointeger(tonumber(response.headers[":status"])) or nil
          local code = response and (response.trailers["grpc-status"] or response.headers["grpc-status"])
          result.grpc_status = code and math.tointeger(tonumber(code)) or nil
          local text = response and (response.trailers["grpc-message"] or response.headers["grpc-message"])
          result.grpc_message = text and text:gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end) or nil
          return result
        end

        function Result:respond(response)
          if self.verdict ~= "proceeded" then
            error(("the upstream never saw this request: it was %s"):format(self.verdict), 2)
          end
          if self.response then error("the upstream has responded already", 2) end
          engine.respond(self.id, response or {})
          settle(self.id)
          return refresh(self)
        end

        function Result:close()
          engine.finish(self.id)
          return refresh(self)
        end

        local Policy = {}
        Policy.__index = Policy

        function Policy:request(request)
          if getmetatable(self) ~= Policy then error("call it with a colon: policy:request{…}", 2) end
          local id = engine.begin(self.id, request or {})
          settle(id)
          return refresh(setmetatable({ id = id }, Result))
        end

        function Policy:close()
          if getmetatable(self) ~= Policy then error("call it with a colon: policy:close()", 2) end
          engine.close(self.id)
          for call in function() return engine.closing(self.id) end do answer(call) end
        end

        local function load_all(uses, options)
          local id = engine.load(uses, options or {})
          pass()
          return setmetatable({ id = id }, Policy)
        end

        function spec.load_policy(name, settings, options)
          need(name, "string", "the policy's name")
          return load_all({ { name = name, settings = settings or {} } }, options)
        end

        function spec.load_policies(uses, options)
          need(uses, "table", "the list of policies")
          local list = {}
          for index, use in ipairs(uses) do
            if type(use) == "string" then use = { use } end
            list[index] = { name = use[1], settings = use[2] or {}, on_error = use.on_error }
          end
          return load_all(list, options)
        end

        spec.clock = {
          advance = function(seconds)
            engine.advance(seconds)
            pass()
          end,
          set = function(seconds) engine.set_clock(seconds) end,
          now = function() return engine.now() end,
        }

        spec.http = {
          stub = function(upstream, reply)
            need(upstream, "string", "the name of the upstream")
            if type(reply) ~= "function" then need(reply, "table", "the answer") end
            stubs[upstream] = reply
          end,
          calls = function(upstream)
            local found = {}
            for _, call in ipairs(calls) do
              if upstream == nil or call.upstream == upstream then found[#found + 1] = call end
            end
            return found
          end,
        }

        spec.logs = function() return engine.logs() end
        spec.hash_password = function(password) return engine.hash_password(password) end

        """#

    private static let ending = #"""
        function __collect()
          local globals = {}
          for name, value in pairs(_G) do
            if name ~= "__engine" and name ~= "__collect" and name ~= "__run" then globals[name] = value end
          end
          for name, value in pairs(spec) do globals[name] = value end
          globals._G = globals
          -- What is closed in policies is closed here, and says so.
          setmetatable(globals, {
            __index = function(_, name)
              if type(name) ~= "string" or name:sub(1, 2) ~= "__" then return _G[name] end
            end,
          })
          local body, message = load(source, "@" .. chunk, "t", globals)
          if not body then error(message, 0) end
          body()
        end

        function __run()
          local test = tests[engine.current()]
          if test.skipped then return engine.skipped() end
          running, stubs, calls = test, {}, {}
          local function note(message)
            return engine.failed(type(message) == "string" and message or show(message, 0))
          end
          local ok, message = pcall(befores, test.group)
          if ok then ok, message = pcall(test.body) end
          if not ok then note(message) end
          local at = test.group
          while at do
            for index = #at.after, 1, -1 do
              local fine, problem = pcall(at.after[index])
              if not fine then note(problem) end
            end
            at = at.parent
          end
          running = nil
        end
        """#
}

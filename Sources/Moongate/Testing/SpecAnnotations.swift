/// Annotations of what specs find, for editors, as the Lua language server (LuaCATS) reads them.
public enum SpecAnnotations {
    /// The definition file `spec.lua`.
    public static let text = #"""
        ---@meta
        -- What specs of policies can call, beside what policies can. Written by `moongate types`.

        --- Groups tests.
        ---@param name string
        ---@param body fun()
        function describe(name, body) end

        --- A test.
        ---@param name string
        ---@param body fun()
        function it(name, body) end

        --- A test that is left out.
        ---@param name string
        ---@param body? fun()
        function skip(name, body) end

        --- Runs before each test of the group.
        ---@param body fun()
        function before_each(body) end

        --- Runs after each test of the group, also after one that failed.
        ---@param body fun()
        function after_each(body) end

        --- Fails the test.
        ---@param message? string
        function fail(message) end

        ---@class Expectation
        ---@field never Expectation The opposite.
        local Expectation = {}

        --- Is equal; tables by what they hold.
        ---@param other any
        function Expectation:to_equal(other) end

        --- Is the same.
        ---@param other any
        function Expectation:to_be(other) end

        function Expectation:to_be_truthy() end
        function Expectation:to_be_falsy() end
        function Expectation:to_be_nil() end

        --- Has this type.
        ---@param kind type
        function Expectation:to_be_a(kind) end

        --- Is a text in which the Lua pattern is found.
        ---@param pattern string
        function Expectation:to_match(pattern) end

        --- Is a text with this part, or a table with this value.
        ---@param part any
        function Expectation:to_contain(part) end

        ---@param limit number
        function Expectation:to_be_less_than(limit) end

        ---@param limit number
        function Expectation:to_be_greater_than(limit) end

        --- Differs at most by `by` (a millionth).
        ---@param other number
        ---@param by? number
        function Expectation:to_be_near(other, by) end

        --- Is a function that raises an error with this text in its message.
        ---@param text? string
        function Expectation:to_raise(text) end

        ---@param actual any
        ---@return Expectation
        function expect(actual) end

        ---@class SpecMessage
        ---@field headers table<string, string> By name in any case; several values are joined with commas.
        ---@field trailers table<string, string>
        ---@field body string
        ---@field messages? string[] The messages of a gRPC body, unless it ends within one.
        local SpecMessage = {}

        --- All values of a header.
        ---@param name string
        ---@return string[]
        function SpecMessage:all(name) end

        ---@class SpecResult
        ---@field verdict "proceeded"|"replied"|"failed"
        ---@field request SpecMessage What the upstream sees.
        ---@field upstream? string The upstream that a policy chose.
        ---@field response? SpecMessage What the client gets.
        ---@field status? integer
        ---@field grpc_status? integer
        ---@field grpc_message? string
        ---@field reset? true The client's stream was reset.
        local SpecResult = {}

        ---@class SpecResponse
        ---@field status? integer
        ---@field headers? table
        ---@field body? string
        ---@field message? string A gRPC message, which becomes the body.
        ---@field messages? (string|{bytes: string, compressed?: boolean})[] Several of them.
        ---@field trailers? table
        ---@field grpc_status? integer

        --- The upstream answers, and the response hooks run.
        ---@param response? SpecResponse
        ---@return SpecResult
        function SpecResult:respond(response) end

        --- The exchange ends, and the log hooks run.
        ---@return SpecResult
        function SpecResult:close() end

        ---@class SpecRequest
        ---@field grpc? string The path of a gRPC call.
        ---@field method? string
        ---@field path? string
        ---@field authority? string
        ---@field scheme? string
        ---@field headers? table
        ---@field body? string
        ---@field messages? (string|{bytes: string, compressed?: boolean})[] gRPC messages, which become the body.
        ---@field remote? string
        ---@field local_address? string
        ---@field tls? boolean|table `client` in it is the certificate of the client.

        ---@class SpecPolicy
        local SpecPolicy = {}

        --- Runs the request hooks.
        ---@param request? SpecRequest
        ---@return SpecResult
        function SpecPolicy:request(request) end

        --- Ends its requests, then the policies: `on_close` runs.
        function SpecPolicy:close() end

        ---@class SpecOptions
        ---@field files? table<string, string|table>
        ---@field secrets? table<string, string>
        ---@field upstreams? string[]
        ---@field on_error? "deny"|"continue"
        ---@field route? string

        --- Loads a policy as a route would.
        ---@param name string
        ---@param settings? table
        ---@param options? SpecOptions
        ---@return SpecPolicy
        function load_policy(name, settings, options) end

        --- Loads several policies, which run one after the other.
        ---@param uses (string|table)[]
        ---@param options? SpecOptions
        ---@return SpecPolicy
        function load_policies(uses, options) end

        clock = {}

        --- Stops the clock and moves it on; timers that come due run.
        ---@param seconds number
        function clock.advance(seconds) end

        --- Stops the clock at a time of day.
        ---@param seconds number Since 1970.
        function clock.set(seconds) end

        --- The time of day as policies see it, in seconds since 1970.
        ---@return number
        function clock.now() end

        ---@class SpecCall
        ---@field upstream string
        ---@field headers table<string, string>
        ---@field body string
        ---@field message? string The message of a gRPC call.
        ---@field timeout number Seconds.

        http = {}

        --- Says what an upstream answers when a policy calls it.
        ---@param upstream string
        ---@param answer SpecResponse|{failure: "timeout"|"reset"|"unavailable"}|fun(call: SpecCall): table
        function http.stub(upstream, answer) end

        --- The calls that policies have made in this test.
        ---@param upstream? string
        ---@return SpecCall[]
        function http.calls(upstream) end

        --- What policies have logged in this test.
        ---@return {level: string, message: string, fields: table<string, string>}[]
        function logs() end

        --- A hash of a password that is cheap to check.
        ---@param password string
        ---@return string
        function hash_password(password) end

        """#
}

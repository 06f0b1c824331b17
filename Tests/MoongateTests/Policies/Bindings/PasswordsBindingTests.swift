import MoongateConfig
import Testing

@testable import Moongate

/// Passwords are checked in the background while the hook waits.
@Suite struct PasswordsBindingTests {
    private static let text = """
        local moon = require "moon"
        local users
        function on_init(config) users = moon.passwords(moon.file("users.yaml")) end
        function on_request(h)
          local headers = h:headers()
          local ok, why = users:verify(headers:get("user"), headers:get("password"))
          if ok == nil then h:respond({[":status"] = "429", ["grpc-status"] = "8"}, why) end
          if not ok then h:respond({[":status"] = "401"}, "wrong") end
          headers:add("x-ok", "1")
        end
        """

    private func bench(queueLimit: Int? = nil) throws -> PolicyBench {
        let hash = try PasswordHash.make(password: Array("secret".utf8), method: .bcrypt, cost: 4)
        return try PolicyBench(
            ["p.lua": PasswordsBindingTests.text], [.init("p.lua")],
            data: ["/etc/users.yaml": "ada: \"\(hash.text)\"\n"],
            verifier: try PasswordVerifier(threads: 1, queueLimit: queueLimit))
    }

    private func headers(_ user: String, _ password: String) -> [(String, String)] {
        PolicyBench.grpc + [("user", user), ("password", password)]
    }

    @Test func aRightPasswordWaitsOnceAndIsRememberedThen() throws {
        let bench = try bench()
        let (verdict, call) = try bench.request(headers("ada", "secret"))
        #expect(verdict == .pause)
        bench.wait(for: 1)
        #expect(bench.verdicts == [.proceed])
        #expect(call.request["x-ok"] == "1")
        call.end()
        let (second, other) = try bench.request(headers("ada", "secret"))
        #expect(second == .proceed)
        other.end()
    }

    @Test(arguments: [("ada", "wrong"), ("eve", "secret"), ("ada", "")])
    func wrongOnesAreRefusedEveryTime(user: String, password: String) throws {
        let bench = try bench()
        for round in 1...2 {
            let (verdict, call) = try bench.request(headers(user, password))
            #expect(verdict == .pause)
            bench.wait(for: round)
            #expect(bench.verdicts.last == .reply)
            #expect(call.response["grpc-status"] == "16")
            call.end()
        }
    }

    @Test func aStreamThatDiedIsNeverResumed() throws {
        let bench = try bench()
        let (verdict, call) = try bench.request(headers("ada", "secret"))
        #expect(verdict == .pause)
        call.end()
        // The run is in use again, by many others, when the answer comes.
        let others = try (0..<40).map { _ in try bench.request(headers("ada", "wrong")) }
        #expect(others.allSatisfy { $0.0 == .pause })
        bench.wait(for: 40)
        #expect(bench.verdicts.count == 40)
        #expect(bench.verdicts.allSatisfy { $0 == .reply })
        for (_, other) in others { other.end() }
    }

    @Test func anAnswerWhileAHookWaitsLeavesTheHookBehind() throws {
        let bench = try bench()
        let (verdict, call) = try bench.request(headers("ada", "secret"))
        #expect(verdict == .pause)
        call.response.add(":status", "504")
        #expect(call.run.startResponse() == .proceed)
        let (second, other) = try bench.request(headers("ada", "wrong"))
        #expect(second == .pause)
        bench.wait(for: 1)
        #expect(bench.verdicts == [.reply])
        #expect(call.request["x-ok"] == nil)
        call.end()
        other.end()
    }

    @Test func aFullQueueSaysBusy() throws {
        let bench = try bench(queueLimit: 0)
        let (verdict, call) = try bench.request(headers("ada", "secret"))
        #expect(verdict == .reply)
        #expect(call.response["grpc-status"] == "8" && call.response["grpc-message"] == "busy")
        call.end()
    }
}

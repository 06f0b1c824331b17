import Synchronization
import Testing

@testable import Moongate

struct ResolverTests {
    private func resolve(_ resolver: Resolver, _ host: String, port: UInt16) async
        -> Result<[SocketAddress], ResolutionFailure>
    {
        await withCheckedContinuation { done in
            resolver.resolve(host, port: port) { done.resume(returning: $0) }
        }
    }

    @Test func literalAddressIsAnsweredBeforeReturning() throws {
        let resolver = try Resolver(lookup: { .failure(ResolutionFailure(host: $0, reason: "asked")) })
        defer { resolver.stop() }
        let answer = Locked<[SocketAddress]?>(nil)
        resolver.resolve("::1", port: 7) { result in answer.withLock { $0 = try? result.get() } }
        #expect(answer.withLock { $0 } == [try #require(SocketAddress("[::1]:7"))])
    }

    @Test func localhostResolvesThroughTheSystem() async throws {
        let resolver = try Resolver()
        defer { resolver.stop() }
        let addresses = try await resolve(resolver, "localhost", port: 50051).get()
        #expect(!addresses.isEmpty)
        #expect(Set(addresses).count == addresses.count)
        #expect(Set(addresses.map(\.description)).isSubset(of: ["127.0.0.1:50051", "[::1]:50051"]))
    }

    @Test func unknownNameTellsTheReason() async throws {
        let resolver = try Resolver()
        defer { resolver.stop() }
        let result = await resolve(resolver, "no such name.invalid", port: 1)
        guard case .failure(let failure) = result else {
            Issue.record("resolved")
            return
        }
        #expect(failure.description.hasPrefix("no such name.invalid: "))
        #expect(failure.reason.count > 5)
    }

    @Test func askersForTheSameNameShareOneLookup() async throws {
        let gate = Gate()
        let lookups = Atomic(0)
        let found = try #require(SocketAddress("10.0.0.1:0"))
        let resolver = try Resolver { _ in
            lookups.add(1, ordering: .relaxed)
            gate.wait()
            return .success([found])
        }
        defer { resolver.stop() }
        let answers = Locked<[String]>([])
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            for port in 1...3 as ClosedRange<UInt16> {
                resolver.resolve("greeter.example", port: port) { result in
                    let text = ((try? result.get()) ?? []).map(\.description).joined()
                    let count = answers.withLock { answers in
                        answers.append(text)
                        return answers.count
                    }
                    if count == 3 { done.resume() }
                }
            }
            gate.open()
        }
        #expect(answers.withLock { Set($0) } == ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"])
        #expect(lookups.load(ordering: .relaxed) == 1)
    }

    @Test func silentNameServerHoldsUpNobodyElse() async throws {
        let gate = Gate()
        let found = try #require(SocketAddress("10.0.0.1:0"))
        let resolver = try Resolver(threads: 2) { host in
            if host == "slow.example" { gate.wait() }
            return .success([found])
        }
        defer { resolver.stop() }
        resolver.resolve("slow.example", port: 1) { _ in }
        let quick = await resolve(resolver, "quick.example", port: 2)
        #expect(try quick.get().first?.port == 2)
        gate.open()
    }

    @Test func fullQueueFailsAtOnce() async throws {
        let gate = Gate()
        let entered = Gate()
        let resolver = try Resolver(threads: 1, queueLimit: 1) { host in
            entered.open()
            gate.wait()
            return .failure(ResolutionFailure(host: host, reason: "late"))
        }
        defer { resolver.stop() }
        resolver.resolve("a.example", port: 1) { _ in }
        entered.wait()
        resolver.resolve("b.example", port: 1) { _ in }
        let refused = await resolve(resolver, "c.example", port: 1)
        #expect(refused == .failure(ResolutionFailure(host: "c.example", reason: "too many lookups are waiting")))
        gate.open()
    }
}

import Testing

@testable import Moongate

@Suite struct ResolverTests {
    private static let nowhere = DNSSettings(servers: [], timeout: 100_000_000, attempts: 1)

    /// The first answer for a name.
    private func resolve(_ resolver: Resolver, _ question: NameQuestion) async -> NameAnswer {
        let watch = Locked<Resolver.Watch?>(nil)
        let isDone = Locked(false)
        let answer = await withCheckedContinuation { (done: CheckedContinuation<NameAnswer, Never>) in
            let made = resolver.watch(question, refresh: 60_000_000_000) { answer in
                let isFirst = isDone.withLock { isDone in
                    defer { isDone = true }
                    return !isDone
                }
                if isFirst { done.resume(returning: answer) }
            }
            watch.withLock { $0 = made }
        }
        watch.withLock { $0 = nil }
        return answer
    }

    @Test func localhostIsInTheHostsFile() async throws {
        let resolver = try Resolver(Self.nowhere, resolverLog: .silent)
        defer { resolver.stop() }
        let addresses = try await resolve(resolver, .host("localhost")).get().map(\.address.description)
        #expect(!addresses.isEmpty && Set(addresses).count == addresses.count)
        #expect(Set(addresses).isSubset(of: ["127.0.0.1:0", "[::1]:0"]))
    }

    @Test func aServerThatDoesNotAnswerIsAFailureWithItsReason() async throws {
        let dead = try #require(SocketAddress("127.0.0.1:1"))
        let resolver = try Resolver(
            DNSSettings(servers: [dead], timeout: 100_000_000, attempts: 1), resolverLog: .silent)
        defer { resolver.stop() }
        for question in [NameQuestion.host("greeter.test"), .service("_grpc._tcp.greeter.test")] {
            guard case .failure(let failure) = await resolve(resolver, question) else {
                Issue.record("resolved")
                continue
            }
            #expect(failure.description.count > 5)
        }
    }

    @Test func stoppingWithQuestionsUnderWayEndsQuietly() throws {
        let silent = try #require(SocketAddress("127.0.0.1:1"))
        for _ in 0..<20 {
            let resolver = try Resolver(
                DNSSettings(servers: [silent], timeout: 60_000_000_000, attempts: 3), resolverLog: .silent)
            let watches = (0..<10).map { number in
                resolver.watch(.host("name-\(number).test"), refresh: 60_000_000_000) { _ in }
            }
            resolver.use(DNSSettings(servers: [], timeout: 60_000_000_000, attempts: 3))
            resolver.stop()
            withExtendedLifetime(watches) {}
        }
    }
}

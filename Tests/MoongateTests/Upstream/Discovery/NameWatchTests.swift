import Logging
import Testing

@testable import Moongate

/// Answers what a test has put down, at once.
private final class ScriptedSource: NameSource {
    var hosts: [String: Result<HostAddresses, NameFailure>] = [:]
    var records: [String: Result<ServiceRecords, NameFailure>] = [:]
    var asked: [String] = []
    /// Keeps answers back until `release`.
    var isHolding = false
    private var held: [() -> Void] = []

    override func addresses(of host: String, _ completion: @escaping (Result<HostAddresses, NameFailure>) -> Void) {
        asked.append(host)
        let answer = hosts[host] ?? .failure(NameFailure("not found"))
        if isHolding { held.append { completion(answer) } } else { completion(answer) }
    }

    override func services(of name: String, _ completion: @escaping (Result<ServiceRecords, NameFailure>) -> Void) {
        asked.append(name)
        completion(records[name] ?? .failure(NameFailure("not found")))
    }

    func release() {
        isHolding = false
        let answers = held
        held = []
        for answer in answers { answer() }
    }

    func set(_ host: String, _ addresses: String..., timeToLive: UInt32? = 60) {
        hosts[host] = .success(
            HostAddresses(
                addresses: addresses.compactMap { SocketAddress(host: $0, port: 0) }, timeToLive: timeToLive))
    }
}

/// What one observer heard.
private final class Heard: Sendable {
    private let list = Locked<[NameAnswer]>([])
    var observer: NameWatch.Observer { { [list] answer in list.withLock { $0.append(answer) } } }
    var texts: [String] {
        list.withLock { answers in
            answers.map { answer in
                switch answer {
                case .success(let endpoints): endpoints.map { "\($0.address)" }.joined(separator: " ")
                case .failure(let failure): "failed: \(failure)"
                }
            }
        }
    }
    var last: [NamedEndpoint] { list.withLock { (try? $0.last?.get()) ?? [] } }
}

extension ResolverLog {
    /// Its log goes nowhere.
    static var silent: ResolverLog {
        ResolverLog(ProcessMetrics(), log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

@Suite struct NameWatchTests {
    private let second: UInt64 = 1_000_000_000

    private func turn(_ loop: EventLoop, milliseconds: Int) {
        let end = Clock.now() + UInt64(milliseconds) * 1_000_000
        while Clock.now() < end { loop.turn(limit: 5) }
    }

    @Test func observersShareQuestionsAndHearEachChangeOnce() throws {
        let loop = try EventLoop()
        let source = ScriptedSource()
        let names = ResolverNames(loop: loop, source: source, resolverLog: .silent)
        source.set("a.test", "10.0.0.1")
        let one = Heard()
        let two = Heard()
        names.add(.host("a.test"), 1, refresh: 3600 * second, one.observer)
        names.add(.host("a.test"), 2, refresh: 3600 * second, two.observer)
        #expect(source.asked == ["a.test"])
        #expect(one.texts == ["10.0.0.1:0"] && two.texts == ["10.0.0.1:0"])
        // One who wants it sooner asks, and nobody hears what is known.
        names.add(.host("a.test"), 3, refresh: second, Heard().observer)
        #expect(source.asked.count == 2 && one.texts.count == 1)
    }

    @Test func anAnswerRunsOutAndIsAskedAgain() throws {
        let loop = try EventLoop()
        let source = ScriptedSource()
        let names = ResolverNames(loop: loop, source: source, resolverLog: .silent)
        source.set("a.test", "10.0.0.1", timeToLive: 1)
        let heard = Heard()
        names.add(.host("a.test"), 1, refresh: 3600 * second, heard.observer)
        source.set("a.test", "10.0.0.2", timeToLive: 3600)
        turn(loop, milliseconds: 1300)
        #expect(heard.texts == ["10.0.0.1:0", "10.0.0.2:0"])
        names.remove(.host("a.test"), 1)
        turn(loop, milliseconds: 50)
        #expect(source.asked.count == 2)
    }

    /// Anybody may have written the answer, and every endpoint costs each worker something.
    @Test func noMoreEndpointsThanAreGoodForWorkersAreUsed() throws {
        let loop = try EventLoop()
        let source = ScriptedSource()
        let addresses = (0..<HostAddresses.limit).compactMap {
            SocketAddress(host: "10.0.\($0 / 250).\($0 % 250)", port: 0)
        }
        let targets = (0..<200).map { "t\($0).test" }
        for target in targets { source.hosts[target] = .success(HostAddresses(addresses: addresses, timeToLive: 60)) }
        source.records["s"] = .success(
            ServiceRecords(
                records: targets.enumerated().map {
                    .init(priority: 1, weight: UInt16(999 + $0 % 2), port: UInt16(1 + $0), target: $1)
                }, timeToLive: 60))
        let log = CapturedLog()
        let resolverLog = ResolverLog(ProcessMetrics(), log: Logger(label: "test") { _ in CapturedHandler(log: log) })
        let watch = NameWatch(.service("s"), source: source, resolverLog: resolverLog, loop: loop)
        let heard = Heard()
        watch.add(1, refresh: 60 * second, heard.observer)
        #expect(heard.last.count == HostAddresses.limit)
        // Of many hosts each has its share.
        #expect(Set(heard.last.map(\.address.port)).count > 100)
        #expect(log.all.count { $0.contains("more addresses than are used") } == 1)
        watch.askAnew()
        #expect(log.all.count == 1)
    }

    @Test func aFailureIsToldAndAskedAgainWithPauses() throws {
        let loop = try EventLoop()
        let source = ScriptedSource()
        let names = ResolverNames(loop: loop, source: source, resolverLog: .silent)
        let heard = Heard()
        names.add(.host("a.test"), 1, refresh: 3600 * second, heard.observer)
        #expect(heard.texts == ["failed: not found"])
        source.set("a.test", "10.0.0.1")
        turn(loop, milliseconds: 1500)
        #expect(heard.texts == ["failed: not found", "10.0.0.1:0"])
    }

    @Test func anAnswerToAQuestionThatWasGivenUpIsNotHeard() throws {
        let loop = try EventLoop()
        let source = ScriptedSource()
        let watch = NameWatch(.host("a.test"), source: source, resolverLog: .silent, loop: loop)
        let heard = Heard()
        source.set("a.test", "10.0.0.1")
        source.isHolding = true
        watch.add(1, refresh: 60 * second, heard.observer)
        source.set("a.test", "10.0.0.2")
        watch.askAnew()
        source.release()
        #expect(heard.texts == ["10.0.0.2:0"])
    }

    @Test func servicesAreResolvedToTheirHosts() throws {
        let loop = try EventLoop()
        let source = ScriptedSource()
        let watch = NameWatch(.service("s"), source: source, resolverLog: .silent, loop: loop)
        source.set("a.test", "10.0.0.1")
        source.set("b.test", "10.0.0.2", "10.0.0.3")
        source.records["s"] = .success(
            ServiceRecords(
                records: [
                    .init(priority: 7, weight: 4, port: 1, target: "a.test"),
                    .init(priority: 9, weight: 4, port: 2, target: "b.test"),
                    .init(priority: 9, weight: 0, port: 3, target: "10.0.0.9"),
                    .init(priority: 1, weight: 9, port: 3, target: "lost.test"),
                ], timeToLive: 60))
        let heard = Heard()
        watch.add(1, refresh: 60 * second, heard.observer)
        #expect(
            Set(heard.last.map { "\($0.address) \($0.weight) \($0.priority)" }) == [
                "10.0.0.1:1 4 0", "10.0.0.2:2 2 1", "10.0.0.3:2 2 1", "10.0.0.9:3 1 1",
            ])
    }

    @Test func aHostThatDoesNotResolveNowKeepsItsAddresses() throws {
        let loop = try EventLoop()
        let source = ScriptedSource()
        let watch = NameWatch(.service("s"), source: source, resolverLog: .silent, loop: loop)
        source.set("a.test", "10.0.0.1")
        source.set("b.test", "10.0.0.2")
        source.records["s"] = .success(
            ServiceRecords(
                records: [
                    .init(priority: 0, weight: 1, port: 1, target: "a.test"),
                    .init(priority: 0, weight: 1, port: 2, target: "b.test"),
                ], timeToLive: 60))
        let heard = Heard()
        watch.add(1, refresh: 60 * second, heard.observer)
        source.hosts["a.test"] = nil
        source.set("b.test", "10.0.0.3")
        watch.askAnew()
        #expect(heard.last.map { "\($0.address)" } == ["10.0.0.1:1", "10.0.0.3:2"])
        source.records["s"] = .failure(NameFailure("timeout"))
        watch.askAnew()
        #expect(heard.texts.last == "failed: timeout")
    }

    @Test func weightsAreBroughtIntoTheirRange() {
        func weights(_ given: [UInt16]) -> [Int] {
            let records = given.enumerated().map { index, weight in
                ServiceRecords.Record(priority: 0, weight: weight, port: UInt16(index + 1), target: "a")
            }
            let address = SocketAddress(host: "10.0.0.1", port: 0).map { [$0] } ?? []
            return ServiceRecords(records: records, timeToLive: 0).endpoints(["a": address]).map(\.weight)
        }
        #expect(weights([3, 1]) == [3, 1])
        #expect(weights([0, 0]) == [1, 1])
        #expect(weights([65535, 1, 32768]) == [1000, 1, 500])
    }
}

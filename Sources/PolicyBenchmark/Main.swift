import ArgumentParser
import Foundation
import Moongate

/// Measures what hooks and their calls cost. See `scripts/bench/policy`.
@main
struct PolicyBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy-benchmark",
        abstract: "Run the hooks of one policy for many requests in memory.",
        discussion: """
            Prints nanoseconds per request. With --growth it prints the memory before, in between and after, and fails \
            if it has grown.
            """)

    @Option(help: "The policy to run.")
    var script: String

    @Option(help: "How many requests.")
    var requests = 1_000_000

    @Option(help: "How many threads run it at the same time.")
    var threads = 1

    @Flag(help: "Look at the memory in place of the time.")
    var growth = false

    func validate() throws {
        guard requests >= 10 else { throw ValidationError("at least 10 requests") }
        guard (1...64).contains(threads) else { throw ValidationError("1 to 64 threads") }
        guard threads == 1 || !growth else { throw ValidationError("--growth is for one thread") }
    }

    func run() throws {
        let text = try String(contentsOfFile: script, encoding: .utf8)
        guard threads == 1 else {
            let result = try PolicyCost.together(script: text, requests: requests, threads: threads)
            print(String(format: "%.1f %llu", result.nanosecondsPerRequest, result.contended))
            return
        }
        let cost = try PolicyCost(script: text)
        if growth { try measureGrowth(cost) } else { try measureTime(cost) }
    }

    private func measureTime(_ cost: PolicyCost) throws {
        let clock = ContinuousClock()
        let time = try clock.measure { try cost.run(times: requests) }
        let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
        print(String(format: "%.1f", seconds * 1e9 / Double(requests)))
    }

    private func measureGrowth(_ cost: PolicyCost) throws {
        let part = requests / 10
        try cost.run(times: part)
        let (engine, resident) = (cost.engineMemory, PolicyCost.residentMemory)
        print("after \(part) requests: engine \(engine) bytes, resident \(resident) bytes")
        for round in 2...10 {
            try cost.run(times: part)
            print(
                "after \(part * round) requests: engine \(cost.engineMemory) bytes, resident "
                    + "\(PolicyCost.residentMemory) bytes")
        }
        // What the engine holds must be the same; the process may move by what the allocator keeps.
        let (engineAfter, residentAfter) = (cost.engineMemory, PolicyCost.residentMemory)
        guard engineAfter <= engine + 4096, residentAfter <= resident + (1 << 20) else {
            print("the memory has grown")
            throw ExitCode(1)
        }
    }
}

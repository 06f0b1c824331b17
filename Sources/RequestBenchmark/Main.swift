import ArgumentParser
import Moongate

/// Plays the requests whose instructions `scripts/bench/instructions` counts.
@main
struct RequestBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "request-benchmark",
        abstract: "Send requests through workers that run on the same thread as their clients and servers.",
        discussion:
            "The workers' part of the counted rounds runs within the function mg_counted. Prints how many requests those had."
    )

    @Option(help: "The configuration; its upstream is 127.0.0.1 at the port.")
    var config: String

    @Option(help: "The upstream's port.")
    var port: UInt16

    @Option(help: "Workers, one after the other.")
    var workers = 8

    @Option(help: "Rounds of each worker that are counted.")
    var rounds = 15

    @Option(help: "Rounds before them.")
    var warmUp = 10

    func run() throws {
        try RequestCost(configuration: config, port: port).play(workers: workers, warmUp: warmUp, rounds: rounds)
        print(workers * rounds * RequestCost.requests)
    }
}

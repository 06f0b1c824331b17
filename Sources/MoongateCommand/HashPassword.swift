import ArgumentParser
import Moongate

/// `moongate hash-password`: makes the hash that a users file wants.
struct HashPassword: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hash-password", abstract: "Hash a password for a users file.",
        discussion: """
            Asks for the password on a terminal without showing it, or reads one line from standard input. It is never \
            taken from the command line, where other users of the machine could see it.
            """)

    @Option(help: "bcrypt or yescrypt.")
    var method = PasswordHash.Method.bcrypt

    @Option(help: "Work per check: bcrypt 4-16 (default 10, doubling each step), yescrypt 1-7 (default 5).")
    var cost: Int?

    func validate() throws {
        guard let cost, !method.costs.contains(cost) else { return }
        let costs = method.costs
        throw ValidationError("\(method.rawValue) takes a cost from \(costs.lowerBound) to \(costs.upperBound).")
    }

    func run() throws {
        let hash = try PasswordHash.make(password: try PasswordInput.read(), method: method, cost: cost)
        print(hash.text)
    }
}

extension PasswordHash.Method: ExpressibleByArgument {}

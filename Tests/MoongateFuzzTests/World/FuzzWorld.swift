@testable import Moongate

/// Several clients at a time, a server with moods, endpoints that fail, names that change, reloads and time that passes: played
/// by a script. A step begins with a byte: its highest bit clear, one of the clients does what `FuzzStep` says; set, its low
/// four bits choose what happens in the world. Two bits say how often the edge has its turn afterwards.
struct FuzzWorld {
    private static let mostClients = 4
    /// Each costs as much as hundreds of requests.
    private static let mostReloads = 3

    private let edge: FuzzEdge
    private let slot: Int
    private let statsRow: FuzzTally
    private var clients: [FuzzClient] = []
    private var server: FuzzServer
    private var reloads = 0

    /// - Parameter mood: of the server at the beginning.
    init(_ edge: FuzzEdge, slot: Int, mood: FuzzServer.Mood, _ statsRow: FuzzTally) {
        self.edge = edge
        self.slot = slot
        self.statsRow = statsRow
        server = FuzzServer(edge, slot, statsRow)
        server.mood = mood
    }

    mutating func play(_ script: FuzzInput) throws {
        var input = script
        do {
            try connect(0)
            while !input.isAtEnd { try step(&input) }
            try turn(2)
        } catch {
            end()
            throw error
        }
        end()
        try edge.checkNothingIsLeft()
    }

    private mutating func end() {
        for index in clients.indices { clients[index].close() }
        clients = []
        server.close()
        edge.names.manner = .found
        edge.names.release()
        edge.closeMute()
        edge.turn(3)
        // Connections that were still in the queue.
        try? server.serve()
        server.close()
        edge.turn(2)
    }

    private mutating func turn(_ times: Int) throws {
        for _ in 0..<times {
            edge.turn()
            edge.closeMute()
            try server.serve()
            for index in clients.indices.reversed() {
                if clients[index].isFull { statsRow.count(.fullClientSockets) }
                try clients[index].receive()
                guard clients[index].isGone else { continue }
                clients[index].close()
                clients.remove(at: index)
            }
            guard !server.isReading else { continue }
            for descriptor in server.descriptors {
                guard let end = FuzzSocketState.otherEnd(of: descriptor), FuzzSocketState.isFull(end) else { continue }
                statsRow.count(.fullUpstreamSockets)
            }
        }
    }

    // MARK: Steps

    private mutating func step(_ input: inout FuzzInput) throws {
        let lead = input.byte()
        if lead & 0x80 == 0 {
            let index = Int(lead & 3)
            let (step, isTurn) = FuzzStep.next(&input, heads: FuzzStage.heads(slot))
            if clients.indices.contains(index) { clients[index].perform(step) }
            return try turn(isTurn ? 1 : 0)
        }
        let choice = input.byte()
        switch lead & 15 {
        case 0: try connect(choice)
        case 1: with(choice) { $0.isReading.toggle() }
        case 2: server.isReading.toggle()
        case 3: server.mood = FuzzServer.Mood.allCases[Int(choice) % FuzzServer.Mood.allCases.count]
        case 4: edge.skip(milliseconds: FuzzWorld.times[Int(choice) % FuzzWorld.times.count])
        case 5: try reload(choice)
        case 6: edge.names.manner = FuzzNames.Manner.allCases[Int(choice) % FuzzNames.Manner.allCases.count]
        case 7: try call(choice, &input)
        case 8:
            let size = Int(input.byte()) * 64
            with(choice) { $0.goOn(size, ends: choice & 4 == 4) }
        case 9: with(choice) { $0.cancel(Int32(choice >> 2 & 7)) }
        case 10: server.perform(FuzzStep.next(&input, heads: FuzzStage.responses).step)
        case 11: server.answerKept()
        case 12: abort(choice)
        case 13: edge.names.release()
        case 14: server.close()
        default: try turn(Int(choice & 7))
        }
        try turn(Int(lead >> 4 & 3))
    }

    private static let times: [UInt64] = [1, 2, 5, 16, 60, 250, 1100, 11_000]

    private mutating func with(_ choice: UInt8, _ body: (inout FuzzClient) -> Void) {
        let index = Int(choice & 3)
        if clients.indices.contains(index) { body(&clients[index]) }
    }

    private mutating func connect(_ choice: UInt8) throws {
        guard clients.count < FuzzWorld.mostClients else { return }
        clients.append(FuzzClient(try edge.inline.connect(), choice))
        statsRow.count(.clients)
    }

    private mutating func abort(_ choice: UInt8) {
        let index = Int(choice & 3)
        guard clients.indices.contains(index) else { return }
        clients[index].close()
        clients.remove(at: index)
        statsRow.count(.aborts)
    }

    private mutating func reload(_ choice: UInt8) throws {
        guard reloads < FuzzWorld.mostReloads else { return }
        reloads += 1
        statsRow.count(.reloads)
        try edge.reload(FuzzConfiguration.Variation(rawValue: choice & 31))
    }

    // MARK: Calls

    private static let paths = [
        "u", "b", "h", "g", "m", "r", "q", "d", "l", "x", "p/http", "p/grpc", "p/both", "p/sleep", "p/old", "p/timer",
        "p/answer", "l/burst", "h/burst", "x/burst",
    ]

    /// - Parameter choice: bits 0 and 1: the client, 2: the call ends, 3: a body of some size, 4: in so many pieces, 5: a short
    ///   deadline, 6: policies take the whole body.
    private mutating func call(_ choice: UInt8, _ input: inout FuzzInput) throws {
        let parts = FuzzWorld.paths[Int(input.byte()) % FuzzWorld.paths.count].split(separator: "/")
        let path = "/\(parts[0])\(slot)/\(parts.count > 1 ? parts[1] : "a")"
        var fields: [(String, String)] = []
        if choice & 32 != 0 { fields.append(("grpc-timeout", "20m")) }
        if choice & 64 != 0 || ["b", "q"].contains(parts[0]) {
            fields.append(choice & 64 != 0 ? ("x-whole", "1") : ("x-chunks", "1"))
        }
        let size = choice & 8 != 0 ? Int(input.byte()) * 64 : 2
        // Who calls has a connection.
        if !clients.indices.contains(Int(choice & 3)) { try connect(choice >> 6) }
        with(min(choice & 3, UInt8(clients.count - 1))) { client in
            // More than a limited upstream takes at a time.
            for _ in 0..<(path.hasSuffix("burst") ? 3 : 0) { client.call(path, fields, body: 2, ends: true) }
            client.call(path, fields, body: size, ends: choice & 4 != 0 && choice & 16 == 0)
            if choice & 16 != 0 { client.goOn(size, ends: choice & 4 != 0) }
        }
        statsRow.count(.calls)
    }
}

import CCrypt
import Glibc

/// A hashed password as crypt(5) writes it: bcrypt (`$2b$`, `$2y$`) or yescrypt (`$y$`).
///
/// Other methods are refused: the old ones can be searched through, and an unknown one would never match.
public struct PasswordHash: Sendable, Hashable {
    public enum Method: String, Sendable, CaseIterable {
        case bcrypt, yescrypt

        /// What `make` takes: bcrypt works 2^cost rounds, yescrypt fills 2^(cost + 9) KiB.
        public var costs: ClosedRange<Int> { self == .bcrypt ? 4...16 : 1...7 }
        /// Some 60 ms on a server core of 2023.
        public var defaultCost: Int { self == .bcrypt ? 10 : 5 }
        /// bcrypt looks at 72 bytes and no further; yescrypt's limit is the library's.
        var longestPassword: Int { self == .bcrypt ? 72 : 511 }

        /// Why a password is neither hashed nor checked by this method; `nil`: it is.
        func refusal(of password: [UInt8]) -> PasswordFault? {
            if password.isEmpty { return PasswordFault("the password is empty") }
            if password.contains(0) { return PasswordFault("the password contains a zero byte") }
            guard password.count > longestPassword else { return nil }
            return PasswordFault("\(self) takes passwords of at most \(longestPassword) bytes")
        }
    }

    public let text: String
    let method: Method
    /// Length of the digest at the end of `text`, after method, cost and salt.
    private let digestLength: Int

    /// Takes a hash from a users file. Costs that would hold a thread for seconds or more than 64 MiB are refused.
    init(_ text: String) throws(PasswordFault) {
        let bytes = Array(text.utf8)
        if text.hasPrefix("$2b$") || text.hasPrefix("$2y$") {
            method = .bcrypt
            digestLength = 31
            try PasswordHash.checkBcrypt(bytes)
        } else if text.hasPrefix("$y$") {
            method = .yescrypt
            digestLength = 43
            try PasswordHash.checkYescrypt(bytes)
        } else {
            throw PasswordFault("only bcrypt ($2b$, $2y$) and yescrypt ($y$) hashes are taken")
        }
        self.text = text
    }

    /// Whether this is the password's hash. Takes as long as the method wants: not for an event loop.
    ///
    /// A password that `make` refuses has no hash: crypt(3) would take a part of it. It costs what every other one costs, so that
    /// the time of the answer tells nothing about the user's hash.
    func matches(_ password: Secret) -> Bool {
        password.withBytes { bytes in
            let isTaken = method.refusal(of: copy bytes) == nil
            let computed = PasswordHash.crypt(isTaken ? copy bytes : PasswordHash.standIn, setting: text)
            guard isTaken, let computed else { return false }
            return computed.withBytes { computed in text.withBytes { ConstantTime.equal(computed, $0) } }
        }
    }

    /// Hashed in the place of a password that is not taken.
    private static let standIn: [UInt8] = Array("no password".utf8)

    /// A hash that costs the same to check and that no password has, for users who do not exist.
    var decoy: PasswordHash { PasswordHash(decoyOf: self) }

    /// The decoy of one of `hashes`, for one user always the same: among mixed methods and costs, the time of the
    /// answer does not tell strangers from users. `nil` if there is none to take after.
    static func decoy(for user: Bytes, among hashes: [PasswordHash]) -> PasswordHash? {
        guard !hashes.isEmpty else { return nil }
        return hashes[Int(StableHash.bucket(StableHash.hash(user), of: UInt64(hashes.count)))].decoy
    }

    private init(decoyOf hash: PasswordHash) {
        // A digest of `.` (64 zero digits) comes out of a real password once in 2^180.
        text = hash.text.dropLast(hash.digestLength) + String(repeating: ".", count: hash.digestLength)
        method = hash.method
        digestLength = hash.digestLength
    }
}

extension PasswordHash {
    /// Hashes a password with a fresh salt.
    public static func make(password: [UInt8], method: Method, cost: Int? = nil) throws(PasswordFault) -> PasswordHash {
        let cost = cost ?? method.defaultCost
        guard method.costs.contains(cost) else {
            throw PasswordFault(
                "\(method) takes a cost from \(method.costs.lowerBound) to \(method.costs.upperBound)")
        }
        if let refusal = method.refusal(of: password) { throw refusal }
        var setting = [CChar](repeating: 0, count: Int(CRYPT_GENSALT_OUTPUT_SIZE))
        let prefix = method == .bcrypt ? "$2b$" : "$y$"
        let made = crypt_gensalt_rn(prefix, UInt(cost), nil, 0, &setting, Int32(setting.count))
        guard let made, let text = crypt(password, setting: String(cString: made)) else {
            throw PasswordFault("the system cannot hash by \(method): \(system: SystemError("crypt"))")
        }
        return try PasswordHash(text)
    }

    /// crypt(3) of a password that the method takes; `nil` if the setting is not understood.
    fileprivate static func crypt(_ password: [UInt8], setting: String) -> String? {
        assert(!password.contains(0), "crypt(3) would stop there")
        var phrase = password + [0]
        defer { phrase.withUnsafeMutableBytes { $0.wipe() } }
        let size = MemoryLayout<crypt_data>.size
        return withUnsafeTemporaryAllocation(byteCount: size, alignment: 16) { work in
            // crypt(3) wants it zeroed, and leaves in it what the password was stretched to.
            work.wipe()
            defer { work.wipe() }
            let result = phrase.withUnsafeBytes { bytes in
                crypt_rn(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), setting, work.baseAddress, Int32(size))
            }
            return result.map { String(cString: $0) }
        }
    }

    /// `$2b$10$` + 22 characters of salt + 31 of digest.
    private static func checkBcrypt(_ text: [UInt8]) throws(PasswordFault) {
        guard text.count == 60, text[6] == UInt8(ascii: "$"), text[7...].allSatisfy(isDigit64),
            let cost = Int(String(decoding: text[4..<6], as: UTF8.self))
        else { throw PasswordFault("the bcrypt hash is cut or damaged: it has 60 characters") }
        guard Method.bcrypt.costs.contains(cost) else {
            throw PasswordFault("the bcrypt hash has cost \(cost); 4 to 16 are taken")
        }
    }

    /// `$y$`, parameters (flavour `j`, log2 N - 1, r - 1: one character each, as crypt_gensalt writes them), `$`, salt,
    /// `$` and 43 characters of digest.
    private static func checkYescrypt(_ text: [UInt8]) throws(PasswordFault) {
        let parts = text.split(separator: UInt8(ascii: "$"), omittingEmptySubsequences: false)
        guard parts.count == 5, parts[2].count == 3, parts[2].first == UInt8(ascii: "j"), !parts[3].isEmpty,
            parts[4].count == 43, parts[2...].allSatisfy({ $0.allSatisfy(isDigit64) }),
            let logN = value64(parts[2][parts[2].startIndex + 1]), let r = value64(parts[2][parts[2].startIndex + 2])
        else { throw PasswordFault("the yescrypt hash is cut, damaged or of a flavour that is not taken") }
        // yescrypt uses 128 · N · r bytes.
        guard logN + 1 <= 20, (r + 1) << (logN + 1) <= (64 << 20) / 128 else {
            throw PasswordFault("the yescrypt hash needs more than 64 MiB per check")
        }
    }

    private static func isDigit64(_ byte: UInt8) -> Bool { value64(byte) != nil }

    /// crypt(5)'s digits: `./0-9A-Za-z`.
    private static func value64(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "."): 0
        case UInt8(ascii: "/"): 1
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte) - 48 + 2
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(byte) - 65 + 12
        case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(byte) - 97 + 38
        default: nil
        }
    }
}

/// Why a hash is not taken or not made, for people.
public struct PasswordFault: Error, Sendable, Hashable, CustomStringConvertible {
    let message: CallMessage
    init(_ message: CallMessage) { self.message = message }
    public var description: String { message.description }
}

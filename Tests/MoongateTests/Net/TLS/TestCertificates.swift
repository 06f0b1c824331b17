import Foundation
import MoongateConfig
import Testing

@testable import Moongate

/// Self-signed certificates, made once for the test run by the `openssl` command in a temporary folder, which goes
/// with the process.
struct TestCertificates {
    static let shared = Result { try TestCertificates() }

    private let folder: URL

    private init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "moongate-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        atexit {
            if let made = try? TestCertificates.shared.get() { try? FileManager.default.removeItem(at: made.folder) }
        }
        let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        let rsa = ["-newkey", "rsa:2048"]
        try make("ec", ec, "DNS:ec.example,DNS:*.wild.example")
        try make("rsa", rsa, "DNS:rsa.example")
        try make("both-ec", ec, "DNS:both.example")
        try make("both-rsa", rsa, "DNS:both.example")
        try make("weak", ["-newkey", "rsa:1024"], "DNS:weak.example")
        try make("plain-name", ec, nil)
        try run(["pkey", "-in", path("ec.key"), "-aes128", "-passout", "pass:secret", "-out", path("locked.key")])
        try run(["req", "-new", "-key", path("ec.key"), "-subj", "/CN=old.example", "-out", path("old.csr")])
        try run([
            "x509", "-req", "-in", path("old.csr"), "-signkey", path("ec.key"), "-days", "-1", "-out", path("old.crt"),
        ])
    }

    func config(_ name: String, key: String? = nil) -> CertificateConfig {
        .init(certificate: path("\(name).crt"), key: path("\(key ?? name).key"))
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    static func read(_ path: String, as use: FileUse = .certificate) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    private func make(_ name: String, _ key: [String], _ alternatives: String?) throws {
        var arguments = ["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=\(name).common"] + key
        arguments += ["-keyout", path("\(name).key"), "-out", path("\(name).crt")]
        if let alternatives { arguments += ["-addext", "subjectAltName=\(alternatives)"] }
        try run(arguments)
    }

    private func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "openssl \(arguments.joined(separator: " "))")
    }
}

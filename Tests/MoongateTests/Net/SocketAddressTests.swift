import Testing

@testable import Moongate

struct SocketAddressTests {
    @Test(arguments: ["1.2.3.4:80", "[::1]:80", "[2001:db8::5]:65535", "0.0.0.0:0", "[fe80::1%1]:443"])
    func textFormSurvivesARoundTrip(text: String) throws {
        #expect(try #require(SocketAddress(text)).description == text)
    }

    @Test(arguments: [
        "", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "::1:80", "[::1]", "[::1:80",
        "[]:80", "name.example:80", "1.2.3:80", "[1.2.3.4.5]:80", "[fe80::1%nowhere]:80", "1.2.3.4:8O",
    ])
    func whatIsNoAddressIsRefused(text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test func mappedIPv4BecomesIPv4() throws {
        let mapped = try #require(SocketAddress(host: "::ffff:10.1.2.3", port: 9))
        #expect(mapped == SocketAddress(host: "10.1.2.3", port: 9))
        #expect(mapped.family == .v4)
        #expect(mapped.host == "10.1.2.3")
    }

    @Test func addressBytesAreInNetworkOrder() throws {
        let v4 = try #require(SocketAddress(host: "10.1.2.3", port: 0))
        #expect(v4.withAddressBytes { Array($0) } == [10, 1, 2, 3])
        let v6 = try #require(SocketAddress(host: "2001:db8::1", port: 0))
        #expect(v6.withAddressBytes { Array($0) } == [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    }

    @Test func addressesDifferByHostPortAndFamily() {
        let all = ["1.2.3.4:1", "1.2.3.4:2", "1.2.3.5:1", "[102:304::]:1", "[fe80::1%1]:1", "[fe80::1%2]:1"]
        #expect(Set(all.compactMap { SocketAddress($0) }).count == all.count)
    }

    @Test func otherLengthsAreNoAddresses() {
        #expect([UInt8](repeating: 1, count: 5).withUnsafeBytes { SocketAddress(bytes: $0, port: 1) } == nil)
    }
}

import Testing

@testable import Moongate

struct CertificateIndexTests {
    private let rsa: Int32 = 6
    private let ecdsa: Int32 = 408

    @Test func exactNameWinsOverWildcardAndTheWildcardAddsOtherKeys() {
        let index = CertificateIndex([
            .init(names: ["default.example"], keyType: rsa),
            .init(names: ["*.example.com"], keyType: rsa),
            .init(names: ["*.example.com"], keyType: ecdsa),
            .init(names: ["api.example.com"], keyType: ecdsa),
        ])
        #expect(index.choose(serverName: "api.example.com") == [3, 1])
        #expect(index.choose(serverName: "other.example.com") == [1, 2])
    }

    @Test func wildcardCoversExactlyOneLabel() {
        let index = CertificateIndex([
            .init(names: ["default.example"], keyType: rsa), .init(names: ["*.example.com"], keyType: rsa),
        ])
        #expect(index.choose(serverName: "a.example.com") == [1])
        #expect(index.choose(serverName: "example.com") == [0])
        #expect(index.choose(serverName: "a.b.example.com") == [0])
    }

    @Test func strangersAndNamelessClientsGetTheFirstWithItsSiblings() {
        let index = CertificateIndex([
            .init(names: ["a", "b"], keyType: rsa),
            .init(names: ["c"], keyType: ecdsa),
            .init(names: ["b", "a"], keyType: ecdsa),
        ])
        #expect(index.choose(serverName: nil) == [0, 2])
        #expect(index.choose(serverName: "") == [0, 2])
        #expect(index.choose(serverName: "stranger") == [0, 2])
    }

    @Test func caseAndTheRootDotDoNotMatter() {
        let index = CertificateIndex([
            .init(names: ["a.example"], keyType: rsa), .init(names: ["b.example"], keyType: rsa),
        ])
        #expect(index.choose(serverName: "B.Example.") == [1])
    }

    @Test func earlierCertificateOfTheSameKindWins() {
        let index = CertificateIndex([
            .init(names: ["a.example"], keyType: rsa), .init(names: ["a.example"], keyType: rsa),
        ])
        #expect(index.choose(serverName: "a.example") == [0])
    }

    @Test func ownersAreThoseWithTheNameElseThoseWithAWildcard() {
        let index = CertificateIndex([
            .init(names: ["default.example"], keyType: rsa), .init(names: ["*.example.com"], keyType: ecdsa),
            .init(names: ["api.example.com"], keyType: rsa),
        ])
        #expect(index.owners(of: "API.example.com.") == [2])
        #expect(index.owners(of: "other.example.com") == [1])
        #expect(index.owners(of: "example.com") == [] && index.owners(of: "") == [] && index.owners(of: ".") == [])
    }
}

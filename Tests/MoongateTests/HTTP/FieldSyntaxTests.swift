import Testing

@testable import Moongate

@Suite struct FieldSyntaxTests {
    private static func octets(_ isAllowed: (Bytes) -> Bool) -> Set<UInt8> {
        Set((0...255).map { UInt8($0) }.filter { octet in [octet].withBytes(isAllowed) })
    }

    private static let alphanumeric = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".utf8)

    /// RFC 9110 §5.6.2
    @Test func tokensHaveTheirOctets() {
        let tokens = FieldSyntaxTests.alphanumeric.union("!#$%&'*+-.^_`|~".utf8)
        #expect(FieldSyntaxTests.octets(FieldSyntax.isToken) == tokens)
    }

    /// RFC 9113 §8.2.1
    @Test func namesAreTokensInLowerCase() {
        let upper = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        #expect(
            FieldSyntaxTests.octets(FieldSyntax.isFieldName)
                == FieldSyntaxTests.octets(FieldSyntax.isToken).subtracting(upper))
        #expect(!FieldSyntax.isFieldName(.empty))
    }

    /// RFC 3986 §3.2
    @Test func authoritiesHaveTheirOctets() {
        #expect(
            FieldSyntaxTests.octets(FieldSyntax.isAuthority)
                == FieldSyntaxTests.alphanumeric.union("-._~!$&'()*+,;=:@[]%".utf8))
    }

    /// Each octet at each place: by eights, and in the rest.
    @Test func valuesHaveNoControlCharactersAnywhere() {
        for octet in UInt8(0)...255 {
            let isControl = octet < 0x20 && octet != 0x09 || octet == 0x7f
            for place in 1..<19 {
                var value = [UInt8](repeating: 0x61, count: 20)
                value[place] = octet
                #expect(value.withBytes(FieldSyntax.isFieldValue) == !isControl, "\(octet) at \(place)")
                #expect(value.withBytes(FieldSyntax.isPath) == !(octet < 0x21 || octet == 0x7f), "\(octet) at \(place)")
            }
        }
    }

    @Test(arguments: [" a", "a ", "\ta", "a\t", " "]) func valuesHaveNoBlanksAround(_ value: String) {
        #expect(!value.withBytes(FieldSyntax.isFieldValue))
    }

    @Test func emptyValuesAreSound() { #expect(FieldSyntax.isFieldValue(.empty)) }
}

import Testing

@testable import Moongate

@Suite final class HeaderListTests {
    private let list = HeaderList()

    deinit { list.destroy() }

    private var text: [String] {
        (0..<list.count).map { list[$0].name.string + "=" + list[$0].value.string }
    }

    @Test func addedNamesAreLowerCase() {
        list.add(name: Bytes("X-Tenant"), value: Bytes("Acme"))
        #expect(text == ["x-tenant=Acme"])
    }

    @Test func setReplacesAllAndKeepsThePlaceOfTheFirst() {
        list.add("a", "1")
        list.add("b", "2")
        list.add("a", "3")
        list.set(name: Bytes("a"), value: Bytes("4"))
        #expect(text == ["a=4", "b=2"])
    }

    /// A script that notes its progress in a header takes no more memory with each note.
    @Test func aValueThatIsWrittenAgainTakesItsOwnPlace() {
        list.add(name: Bytes("x-progress"), value: Bytes("begun"))
        let original = list[0].value
        "0".withBytes { list.set(name: Bytes("x-progress"), value: $0) }
        let size = list.arenaSize
        for number in 1...10_000 {
            String(number).withBytes { list.set(name: Bytes("x-progress"), value: $0) }
        }
        #expect(text == ["x-progress=10000"])
        #expect(list.arenaSize == size)
        // What came off the wire stays as it was: others may point to it.
        #expect(original.string == "begun")
        // Longer and longer values take the double of the longest.
        for count in 1...5000 { set("x-progress", String(repeating: "x", count: count)) }
        #expect(list.arenaSize < size + 16_384)
        // A part of the old value.
        list.set(name: Bytes("x-progress"), value: list[0].value[4990..<5000])
        #expect(text == ["x-progress=xxxxxxxxxx"])
    }

    private func set(_ name: String, _ value: String) {
        name.withBytes { name in value.withBytes { list.set(name: name, value: $0) } }
    }

    /// Others point to the path and the authority while scripts change them.
    @Test func aPseudoHeaderIsNeverOverwrittenInPlace() {
        set(":path", "/first")
        set(":path", "/second")
        let second = list[0].value
        set(":path", "/3")
        #expect(second.string == "/second")
        #expect(list.value(.path)?.string == "/3")
    }

    @Test func aNewPseudoHeaderGoesToTheFront() {
        list.add(":method", "POST")
        list.add("a", "1")
        list.set(name: Bytes(":authority"), value: Bytes("x"))
        #expect(text.first == ":authority=x")
        #expect(list.value(.authority)?.string == "x")
    }

    @Test func removeTakesEveryFieldOfTheName() {
        for _ in 0..<3 {
            list.add("a", "1")
            list.add("b", "2")
        }
        list.remove(name: Bytes("a"))
        #expect(text == ["b=2", "b=2", "b=2"])
    }

    @Test func removeAtKeepsTheOthersInOrder() {
        list.add("a", "1")
        list.add("b", "2")
        list.add("c", "3")
        list.remove(at: 1)
        #expect(text == ["a=1", "c=3"])
    }

    @Test func internedNamesAreFound() {
        list.add("grpc-status", "7")
        list.add("content-type", "application/grpc")
        #expect(list.value(.grpcStatus)?.string == "7")
        #expect(list.value(.contentType)?.string == "application/grpc")
        #expect(list.value(.host) == nil)
    }

    // MARK: Cookies

    private func join(_ cookies: [String]) -> [String] {
        list.reset()
        list.add("a", "1")
        for cookie in cookies { cookie.withBytes { list.add(name: Bytes("cookie"), value: $0) } }
        list.add("b", "2")
        list.joinCookies()
        return (0..<list.count).filter { list[$0].id == .cookie }.map { list[$0].value.string }
    }

    @Test func RFC9113cookiesInSeveralFieldsBecomeOne() {
        #expect(join([]) == [])
        #expect(join(["a=1"]) == ["a=1"])
        #expect(join(["a=1", "b=2", "c=3; d=4"]) == ["a=1; b=2; c=3; d=4"])
        #expect(text == ["a=1", "cookie=a=1; b=2; c=3; d=4", "b=2"])
    }

    @Test func emptyCookieFieldsAddNothing() {
        #expect(join(["", "a=1", "", "b=2", ""]) == ["a=1; b=2"])
        #expect(join(["", ""]) == [""])
        #expect(join([""]) == [""])
    }

    @Test func aJoinedCookieIsNeverIndexedIfOnePartIs() {
        list.add(name: Bytes("cookie"), value: Bytes("a=1"))
        list.add(name: Bytes("cookie"), value: Bytes("b=2"), neverIndexed: true)
        list.joinCookies()
        #expect(list.count == 1 && list[0].neverIndexed)
    }

    @Test func manyCookiesTakeTheMemoryOfOneCopy() {
        for _ in 0..<4000 { list.add(name: Bytes("cookie"), value: Bytes("a=1")) }
        let before = list.arenaSize
        list.joinCookies()
        #expect(list.count == 1 && list[0].value.count == 4000 * 5 - 2)
        #expect(list.arenaSize - before == 4000 * 5)
    }

    @Test func otherFieldsAreNeverJoined() {
        for _ in 0..<2 {
            list.add("set-cookie", "a=1")
            list.add("x", "1")
        }
        list.joinCookies()
        #expect(list.count == 4)
    }

    // MARK: Twins

    @Test func spellingsWithUnderscoresGoWithTheName() {
        for removes in [false, true] {
            list.reset()
            list.removesTwins = removes
            for name in ["x_user", "x-user", "x_id", "x_other"] as [StaticString] { list.add(name, "client's") }
            list.set(name: Bytes("x-user"), value: Bytes("alice"))
            list.remove(name: Bytes("x-id"))
            let kept = removes ? ["x-user=alice"] : ["x_user=client's", "x-user=alice", "x_id=client's"]
            #expect(text == kept + ["x_other=client's"])
        }
    }

    @Test func aNameWithUnderscoresIsSetAsItIs() {
        list.removesTwins = true
        list.add("x_a-b", "1")
        list.add("x_a_b", "2")
        list.set(name: Bytes("x_a_b"), value: Bytes("3"))
        #expect(text == ["x_a_b=3"])
    }

    @Test func aThousandFieldsFit() {
        for index in 0..<1000 { "\(index)".withBytes { list.add("n", $0) } }
        #expect(list.count == 1000)
        #expect(list[999].value.string == "999")
    }

    @Test func resetForgetsEverything() {
        list.add("a", "1")
        list.reset()
        #expect(list.isEmpty)
        #expect(list.arenaSize == 0)
    }

    @Test func encodedSizeCountsNameValueAnd32() {
        list.add("ab", "cde")
        #expect(list.encodedSize == 37)
    }
}

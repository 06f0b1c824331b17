import Glibc
import Testing

@testable import Moongate

@Suite struct SystemErrorTests {
    @Test func saysTheCallAndTheKernelsReason() {
        #expect(SystemError("open /x", code: ENOENT).description == "open /x: No such file or directory")
    }
}

import Testing
@testable import Moongate

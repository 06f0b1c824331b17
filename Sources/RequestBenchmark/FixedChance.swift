/// In place of the functions of the same names in the libraries: in this program random numbers and the time of day, from which
/// seeds of hash tables are made, are the same every time.

// nonisolated(unsafe): the program has one thread that draws numbers.
private nonisolated(unsafe) var state: UInt64 = 1

@_cdecl("swift_stdlib_random") public func fixedRandom(_ buffer: UnsafeMutableRawPointer, _ count: Int) {
    for place in 0..<count {
        // PCG's multiplier and increment; the high bits are the good ones.
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        buffer.storeBytes(of: UInt8(truncatingIfNeeded: state >> 56), toByteOffset: place, as: UInt8.self)
    }
}

/// Lua's seed.
@_cdecl("time") public func fixedTime(_ target: UnsafeMutablePointer<Int>?) -> Int {
    let seconds = 1_772_445_600
    target?.pointee = seconds
    return seconds
}

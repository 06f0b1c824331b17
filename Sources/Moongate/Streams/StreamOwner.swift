/// What a stream is to its delegate: the record that it is part of. Only the delegate knows of which type that is.
struct StreamOwner: Hashable {
    let pointer: UnsafeMutableRawPointer

    @inline(__always) init(_ pointer: UnsafeMutableRawPointer) { self.pointer = pointer }
}

extension StreamOwner {
    /// An owner that keeps `object` until `release`.
    static func retaining(_ object: some AnyObject) -> StreamOwner {
        StreamOwner(Unmanaged.passRetained(object).toOpaque())
    }

    /// The object that the owner was made of.
    func object<Object: AnyObject>(_ type: Object.Type) -> Object {
        Unmanaged<Object>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Lets go of the object. To be called once.
    func release() { Unmanaged<AnyObject>.fromOpaque(pointer).release() }
}

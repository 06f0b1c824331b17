import Glibc

/// Runs work that recurses as deep as its input nests on a thread with a large stack, and waits for it.
///
/// The YAML library recurses up to 1,000 levels before it refuses, and takes the tree down the same way; a caller's
/// thread may have only a megabyte.
enum RoomyStack {
    /// Bytes. Only what is touched takes memory.
    private static let size = 64 << 20

    private final class Job {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// The result of `body`; `nil` if the system gives no thread.
    static func run<Value>(_ body: @escaping () -> Value) -> Value? {
        var result: Value?
        withoutActuallyEscaping({ result = body() }) { escaping in
            let job = Unmanaged.passRetained(Job(escaping))
            var attributes = pthread_attr_t()
            pthread_attr_init(&attributes)
            defer { pthread_attr_destroy(&attributes) }
            pthread_attr_setstacksize(&attributes, size)
            var thread = pthread_t()
            let failure = pthread_create(&thread, &attributes, entry, job.toOpaque())
            guard failure == 0 else { return job.release() }
            pthread_join(thread, nil)
        }
        return result
    }

    private static let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
        if let context { Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body() }
        return nil
    }
}

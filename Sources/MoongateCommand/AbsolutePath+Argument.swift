import ArgumentParser
import MoongateConfig

/// Every path that a command takes is one: a command cannot get at a relative path.
extension AbsolutePath: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

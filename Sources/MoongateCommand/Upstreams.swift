import ArgumentParser

/// `moongate upstreams`: how the upstreams of a running edge and their endpoints are doing.
struct Upstreams: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upstreams",
        abstract: "Show the upstreams of a running edge: endpoints, their health, and why.",
        discussion: """
            Asks the admin listener, whose address is given or taken from the configuration. The exit code is 1 if \
            nobody answers.
            """)

    @OptionGroup var page: AdminPage

    func run() throws { try page.show("/upstreams") }
}

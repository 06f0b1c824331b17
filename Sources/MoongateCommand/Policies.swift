import ArgumentParser

/// `moongate policies`: how the policies of a running edge are doing.
struct Policies: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policies",
        abstract: "Show the policies of a running edge: runs, errors, times.",
        discussion: """
            Asks the admin listener, whose address is given or taken from the configuration. The exit code is 1 if \
            nobody answers.
            """)

    @OptionGroup var page: AdminPage

    func run() throws { try page.show("/policies") }
}

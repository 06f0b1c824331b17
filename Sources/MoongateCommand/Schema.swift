import ArgumentParser
import MoongateConfig

/// `moongate schema`: what the configuration file may hold, for editors and for the documentation.
struct Schema: ParsableCommand {
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case json
        case markdown
    }

    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "Print the JSON Schema of the configuration file, or its reference.")

    @Option(help: "The JSON Schema that editors use, or the reference in Markdown.")
    var format = Format.json

    func run() {
        switch format {
        case .json: print(ConfigurationReference.jsonSchema, terminator: "")
        case .markdown: print(ConfigurationReference.markdown, terminator: "")
        }
    }
}

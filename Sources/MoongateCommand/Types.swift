import ArgumentParser
import Foundation
import Moongate
import MoongateConfig

/// `moongate types`: the policy API for editors, and for the documentation.
struct Types: ParsableCommand {
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case lua
        case markdown
    }

    static let configuration = CommandConfiguration(
        commandName: "types", abstract: "Print the policy API for editors (LuaCATS), or its reference.",
        discussion: """
            The annotations come from the tables that register the functions, so that they say what this program knows. \
            The Lua language server finds them in a folder that its setting workspace.library names. With --output, \
            spec.lua beside it describes what specs find.
            """)

    @Option(help: "Annotations for editors, or the reference in Markdown.")
    var format = Format.lua

    @Option(help: "Write into this folder, made if it is missing, instead of printing.")
    var output: AbsolutePath?

    func run() throws {
        let files =
            format == .lua
            ? [("moon.lua", PolicyAPI.annotations), ("spec.lua", SpecAnnotations.text)]
            : [("policy-api.md", PolicyAPI.markdown)]
        guard let output else {
            print(files[0].1, terminator: "")
            return
        }
        let folder = URL(fileURLWithPath: output.text)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (name, text) in files { try Data(text.utf8).write(to: folder.appendingPathComponent(name)) }
    }
}

import Foundation
import MoongateConfig

/// `moongate test`: runs specs of policies against the handle that serves real requests.
public struct SpecRunner {
    /// What to run, and how.
    public struct Options: Sendable {
        /// Spec files, or folders in which they are looked for.
        public var paths: [AbsolutePath] = ["."]
        /// Only tests whose name, groups included, contains this text.
        public var filter: String?
        /// Folders in which policies are looked for by name, before those that are found from a spec's place.
        public var policyPath: [AbsolutePath] = []
        /// Whether to say which lines of policies ran.
        public var coverage = false
        /// CPU time that one test may use, policies left out.
        public var timeLimit = Duration.seconds(10)
        public init() {}
    }

    private let options: Options
    private var report = SpecReport()

    private init(_ options: Options) { self.options = options }

    /// Runs everything; tells of each result as it comes.
    public static func run(_ options: Options, each: (SpecResult) -> Void = { _ in }) -> SpecReport {
        var runner = SpecRunner(options)
        runner.runAll(each)
        return runner.report
    }

    private mutating func runAll(_ each: (SpecResult) -> Void) {
        let files = specFiles()
        if files.isEmpty && report.faults.isEmpty {
            report.faults.append("there are no specs (files that end in _spec.lua) in \(shownPaths)")
        }
        let verifier = try? PasswordVerifier(threads: 1)
        let lines = options.coverage ? SpecLines() : nil
        for file in files { run(file, verifier, lines, each) }
        report.coverage = lines?.coverage
        verifier?.stop()
    }

    private mutating func run(
        _ file: AbsolutePath, _ verifier: PasswordVerifier?, _ lines: SpecLines?, _ each: (SpecResult) -> Void
    ) {
        do throws(SpecFault) {
            guard let data = FileManager.default.contents(atPath: file.text) else { throw SpecFault("cannot be read") }
            let folder = URL(fileURLWithPath: file.text).deletingLastPathComponent().standardizedFileURL.path
            let world = SpecWorld(
                folder: folder, path: options.policyPath.map(\.text) + SpecRunner.policyFolders(of: folder),
                shipped: ShippedPolicies.folder(), verifier: verifier, lines: lines)
            let session = try SpecSession(
                path: file.given, source: String(decoding: data, as: UTF8.self), world: world,
                timeLimit: options.timeLimit)
            try session.gather()
            for (place, test) in session.cases.enumerated() {
                let name = test.names.joined(separator: " › ")
                if let filter = options.filter, !name.contains(filter) { continue }
                let result = session.run(place + 1)
                report.results.append(result)
                each(result)
            }
        } catch {
            report.faults.append("\(file): \(error.message)")
        }
    }

    /// `policies/NAME/NAME_spec.lua` finds `policies/OTHER`, and a spec beside `NAME.lua` finds that.
    private static func policyFolders(of folder: String) -> [String] {
        [URL(fileURLWithPath: folder).deletingLastPathComponent().standardizedFileURL.path, folder]
    }

    // MARK: Files

    private var shownPaths: String {
        options.paths.map { $0.given == "." ? "this folder" : $0.given }.joined(separator: ", ")
    }

    private mutating func specFiles() -> [AbsolutePath] {
        var found: [AbsolutePath] = []
        for path in options.paths {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path.text, isDirectory: &isFolder) else {
                report.faults.append("\(path): there is no such file or folder")
                continue
            }
            found += isFolder.boolValue ? SpecRunner.specs(in: path) : [path]
        }
        return found
    }

    private static func specs(in folder: AbsolutePath) -> [AbsolutePath] {
        let names = FileManager.default.enumerator(atPath: folder.text)?.compactMap { $0 as? String } ?? []
        return names.filter { name in
            name.hasSuffix("_spec.lua") && !name.split(separator: "/").contains { $0.hasPrefix(".") }
        }.sorted().map(folder.appending)
    }
}

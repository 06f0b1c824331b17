import Foundation

/// How results are written.
public enum SpecOutput {
    /// One line for each test as it ends; what failed, again in full, at the end.
    public static func line(_ result: SpecResult) -> String {
        switch result.outcome {
        case .passed: "ok       \(result.name)"
        case .skipped: "skipped  \(result.name)"
        case .failed: "FAILED   \(result.name)"
        }
    }

    public static func summary(_ report: SpecReport) -> String {
        var text = ""
        for result in report.results {
            guard case .failed(let messages) = result.outcome else { continue }
            text += "\n\(result.file):\(result.line): \(result.name)\n"
            for message in messages { text += indented(message, by: "    ") }
            for line in result.log { text += indented("log: \(line)", by: "    ") }
        }
        for fault in report.faults { text += "\n\(fault)\n" }
        var counts = ["\(report.passed) passed"]
        if report.failed > 0 { counts.append("\(report.failed) failed") }
        if report.skipped > 0 { counts.append("\(report.skipped) skipped") }
        if !report.faults.isEmpty { counts.append("\(report.faults.count) not run") }
        return text + "\n" + counts.joined(separator: ", ") + "\n"
    }

    /// For each policy how much of it ran, and which lines did not.
    public static func coverage(_ coverage: [SpecCoverage]) -> String {
        var text = "\nlines that ran\n"
        for file in coverage {
            text += String(format: "%6.1f %%  ", file.percent) + "\(file.path) (\(file.hit) of \(file.lines))\n"
            if !file.missed.isEmpty {
                text += "          not: \(file.missed.map(String.init).joined(separator: ", "))\n"
            }
        }
        return text
    }

    private static func indented(_ text: String, by margin: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { "\(margin)\($0)\n" }.joined()
    }

    // MARK: TAP

    /// Test Anything Protocol, version 13. Files that could not be run are failed tests.
    public static func tap(_ report: SpecReport) -> String {
        var text = "TAP version 13\n1..\(report.results.count + report.faults.count)\n"
        for (index, result) in report.results.enumerated() {
            let name = result.name.filter { $0 != "#" }
            switch result.outcome {
            case .passed: text += "ok \(index + 1) - \(name)\n"
            case .skipped: text += "ok \(index + 1) - \(name) # SKIP\n"
            case .failed(let messages):
                text += "not ok \(index + 1) - \(name)\n  ---\n  at: \(result.file):\(result.line)\n  message: |\n"
                text += indented(messages.joined(separator: "\n"), by: "    ") + "  ...\n"
            }
        }
        for (index, fault) in report.faults.enumerated() {
            text += "not ok \(report.results.count + index + 1) - \(fault.split(separator: "\n").first ?? "")\n"
        }
        return text
    }

    // MARK: JUnit

    /// One suite for each file.
    public static func junit(_ report: SpecReport) -> String {
        var files: [String] = []
        for result in report.results where !files.contains(result.file) { files.append(result.file) }
        var text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        text += "<testsuites tests=\"\(report.results.count)\" failures=\"\(report.failed)\" "
        text += "errors=\"\(report.faults.count)\">\n"
        for file in files { text += suite(file, report.results.filter { $0.file == file }) }
        for fault in report.faults {
            text += "<testsuite name=\"\(escaped(fault))\" tests=\"1\" errors=\"1\">"
            text += "<testcase name=\"load\"><error message=\"\(escaped(fault))\"/></testcase></testsuite>\n"
        }
        return text + "</testsuites>\n"
    }

    private static func suite(_ file: String, _ results: [SpecResult]) -> String {
        let report = SpecReport(results: results)
        var text = "<testsuite name=\"\(escaped(file))\" tests=\"\(results.count)\" failures=\"\(report.failed)\" "
        text += "skipped=\"\(report.skipped)\">\n"
        for result in results {
            let group = result.names.dropLast().joined(separator: " › ")
            text += "<testcase classname=\"\(escaped(group))\" name=\"\(escaped(result.names.last ?? ""))\" "
            text += "file=\"\(escaped(file))\" line=\"\(result.line)\" "
            text += "time=\"\(String(format: "%.3f", result.seconds))\""
            switch result.outcome {
            case .passed: text += "/>\n"
            case .skipped: text += "><skipped/></testcase>\n"
            case .failed(let messages):
                let message = messages.joined(separator: "\n")
                text += "><failure message=\"\(escaped(message))\">"
                text += "\(escaped(result.log.joined(separator: "\n")))</failure></testcase>\n"
            }
        }
        return text + "</testsuite>\n"
    }

    /// For attributes and texts; what XML cannot hold becomes a question mark.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "\n": result += "&#10;"
            case _ where scalar.value < 32 && scalar != "\t": result += "?"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

import ArgumentParser
import Foundation
import MartletClient

/// A command could not do what it was asked for; one line that says what to do next.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// How a command ends: 0 when all is well, 1 after a failure, 64 when it was called wrongly.
enum Failure {
    /// Writes `martlet: …` to standard error.
    static func report(_ message: String) {
        try? FileHandle.standardError.write(contentsOf: Data("martlet: \(message)\n".utf8))
    }

    static func end(with error: any Error) -> Never {
        switch error {
        case let error as ClientError where error.code != .cancelled: report("\(error)")
        case let error as CommandFailure: report("\(error)")
        case is ClientError, is CancellationError: report("interrupted")
        default: endParsing(with: error)
        }
        exit(ExitCode.failure.rawValue)
    }

    /// The parser's own errors; requests for help and for the version come as errors too.
    private static func endParsing(with error: any Error) -> Never {
        let code = Martlet.exitCode(for: error)
        let full = Martlet.fullMessage(for: error)
        if code == .success {
            print(full)
        } else if code == .validationFailure {
            report(usageLine(message: Martlet.message(for: error), full: full))
        } else if !(error is ExitCode) {
            report(Martlet.message(for: error))
        }
        exit(code.rawValue)
    }

    /// What is wrong, and where help is to be had, in one line.
    static func usageLine(message: String, full: String) -> String {
        let line = message.split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " } }.joined(separator: " ")
        let trimmed = line.hasSuffix(".") ? String(line.dropLast()) : line
        guard let start = full.range(of: "See '"),
            let end = full.range(of: "'", range: start.upperBound..<full.endIndex)
        else { return "\(trimmed); see 'martlet --help'" }
        return "\(trimmed); see '\(full[start.upperBound..<end.lowerBound])'"
    }
}

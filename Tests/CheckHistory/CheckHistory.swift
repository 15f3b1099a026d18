import ArgumentParser
import Foundation
import HistoryChecker

@main
struct CheckHistory: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-history",
        abstract: "Finds what a history of Kafka clients shows of broken promises.",
        discussion: formatHelp)

    @Argument(help: "The history, one JSON object a line; standard input when absent or \"-\".")
    var file: String?

    @Flag(help: "Print each anomaly as a JSON object.")
    var json = false

    @Option(help: "Also check that each value of INPUT was processed exactly once into OUTPUT.")
    var transform: Transform?

    func run() throws {
        let anomalies: [Anomaly]
        do {
            anomalies = try judge(try read())
        } catch {
            FileHandle.standardError.write(Data("check-history: \(describe(error))\n".utf8))
            throw ExitCode(2)
        }
        var text = Data()
        for anomaly in anomalies {
            text.append(json ? try AnomalyLine(anomaly).encoded() : Data(anomaly.description.utf8))
            text.append(UInt8(ascii: "\n"))
        }
        try FileHandle.standardOutput.write(contentsOf: text)
        if !anomalies.isEmpty { throw ExitCode(1) }
    }

    private func read() throws -> Data {
        guard let file, file != "-" else { return try FileHandle.standardInput.readToEnd() ?? Data() }
        return try Data(contentsOf: URL(fileURLWithPath: file))
    }

    func judge(_ text: Data) throws -> [Anomaly] {
        let lines = try HistoryLine.decode(text)
        var anomalies = try History(lines.map(\.event)).anomalies()
        if let transform { anomalies += try transform.check(lines).anomalies() }
        return anomalies
    }

    private func describe(_ error: any Error) -> String {
        switch error {
        case let error as LineError: "\(error)"
        case let error as HistoryError: "\(error)"
        default: "\(file ?? "standard input"): \(error.localizedDescription)"
        }
    }
}

/// The topics of a consume-transform-produce loop.
struct Transform: ExpressibleByArgument {
    let input: String
    let output: String

    init?(argument: String) {
        let topics = argument.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard topics.count == 2, !topics.contains("") else { return nil }
        (input, output) = (topics[0], topics[1])
    }

    static var defaultCompletionKind: CompletionKind { .default }

    func check(_ lines: [HistoryLine]) throws -> ExactlyOnce {
        var check = ExactlyOnce(inputs: [], outputs: [])
        for line in lines {
            guard case .finalRead(let read) = line.event.operation else { continue }
            let records = read.entries.map { Record(read.partition, offset: $0.offset, value: $0.value) }
            if read.partition.topic == input { check.inputs += records }
            guard read.partition.topic == output else { continue }
            for (record, source) in zip(records, line.sources) {
                guard let source else {
                    throw LineError(line: line.number, reason: "a record of \(output) names no source")
                }
                check.outputs.append(.init(record, from: source))
            }
        }
        return check
    }
}

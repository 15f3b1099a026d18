import Foundation

/// What a run has measured.
struct PerfReport {
    let records: Int
    /// Of keys and values.
    let bytes: Int
    let seconds: Double
    var failed = 0
    let latency: LatencyRecorder.Summary?
    /// What the latencies are of.
    let latencyName: String

    var recordsPerSecond: Double { seconds > 0 ? Double(records) / seconds : 0 }
    var megabytesPerSecond: Double { seconds > 0 ? Double(bytes) / seconds / 1_000_000 : 0 }

    func print(json: Bool) {
        Swift.print(
            json ? self.json.documentText : table.render(styled: Terminal.usesColour), terminator: json ? "\n" : "")
    }

    private var json: JSONValue {
        var fields: [JSONValue.Field] = [
            .init("records", .number(records)), .init("failed", .number(failed)), .init("bytes", .number(bytes)),
            .init("seconds", .decimal(seconds)), .init("recordsPerSecond", .decimal(recordsPerSecond)),
            .init("megabytesPerSecond", .decimal(megabytesPerSecond)),
        ]
        if let latency {
            var values: [JSONValue.Field] = [
                .init("of", .string(latencyName)), .init("samples", .number(latency.count)),
                .init("mean", .decimal(latency.mean)),
            ]
            for (percentile, value) in zip(LatencyRecorder.Summary.percentiles, latency.values) {
                values.append(.init(LatencyRecorder.Summary.name(percentile), .decimal(value)))
            }
            values.append(.init("maximum", .decimal(latency.maximum)))
            fields.append(.init("latencyMilliseconds", .object(values)))
        }
        return .object(fields)
    }

    private var table: TextTable {
        var rows = [
            ["records", "\(records)"], ["records/s", Self.text(recordsPerSecond, 0)],
            ["MB/s", Self.text(megabytesPerSecond, 1)], ["seconds", Self.text(seconds, 2)],
        ]
        if failed > 0 { rows.insert(["failed", "\(failed)"], at: 1) }
        if let latency {
            rows.append(["\(latencyName), mean", "\(Self.text(latency.mean, 2)) ms"])
            for (percentile, value) in zip(LatencyRecorder.Summary.percentiles, latency.values) {
                rows.append([
                    "\(latencyName), \(LatencyRecorder.Summary.name(percentile))", "\(Self.text(value, 2)) ms",
                ])
            }
            rows.append(["\(latencyName), max", "\(Self.text(latency.maximum, 2)) ms"])
        }
        return TextTable([.text("MEASURED"), .number("VALUE")], rows)
    }

    static func text(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
}

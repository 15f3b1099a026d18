import Foundation
import HistoryChecker

/// An anomaly as a JSON object; what does not apply is absent.
struct AnomalyLine: Encodable {
    let kind: String
    let topic: String
    let partition: Int32
    let offsets: [Int64]
    let values: [EncodedValue]
    let process: String?
    let group: String?
    let transaction: Int?
    let explanation: String

    init(_ anomaly: Anomaly) {
        kind = anomaly.kind.rawValue
        topic = anomaly.partition.topic
        partition = anomaly.partition.partition
        offsets = anomaly.offsets
        values = anomaly.values.map(EncodedValue.init)
        process = anomaly.process
        group = anomaly.group
        transaction = anomaly.transaction
        explanation = anomaly.explanation
    }

    func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}

struct EncodedValue: Encodable {
    let id: ValueID

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch id {
        case .number(let number): try container.encode(number)
        case .text(let text): try container.encode(text)
        }
    }
}

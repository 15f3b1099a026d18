import KafkaProtocol
import RecordFormat

@testable import MartletClient

/// What a partition's leader does with batches, without disk and network: offsets, and the rules of idempotent producers.
struct ModelLog {
    struct Entry {
        let value: String
        let producer: ProducerIdentity
        let isTransactional: Bool
    }
    private struct Written {
        let base: Int32
        let last: Int32
        let offset: Int64
    }
    private struct Producer {
        var epoch: Int16
        var written: [Written]
    }

    private(set) var entries: [Entry] = []
    private var forgotten = 0
    private var producers: [Int64: Producer] = [:]

    mutating func forgetEntries() {
        forgotten += entries.count
        entries = []
    }

    /// A broker that was stopped remembers only the last batch of each producer, which is what its snapshot holds.
    mutating func restart() {
        for id in producers.keys { producers[id]!.written = producers[id]!.written.suffix(1) }
    }

    /// Appends a batch, or says why not, as Kafka's ProducerStateManager does.
    mutating func append(_ batch: [UInt8]) throws -> BatchResult {
        let header = try batch.withUnsafeBytes { bytes throws(RecordFormatError) in
            try RecordBatchHeader.verified(bytes)
        }
        if header.hasProducer {
            var producer = producers[header.producerId] ?? Producer(epoch: header.producerEpoch, written: [])
            guard header.producerEpoch >= producer.epoch else {
                return BatchResult(errorCode: ErrorCode.invalidProducerEpoch.rawValue)
            }
            if header.producerEpoch > producer.epoch {
                producer = Producer(epoch: header.producerEpoch, written: [])
                guard header.baseSequence == 0 else {
                    return BatchResult(errorCode: ErrorCode.outOfOrderSequenceNumber.rawValue)
                }
            }
            if let same = producer.written.first(where: {
                $0.base == header.baseSequence && $0.last == header.lastSequence
            }) {
                return BatchResult(baseOffset: same.offset)
            }
            // Of a producer that it does not know a log takes any number, because retention may have removed it.
            let expected =
                producer.written.last.map { RecordBatchHeader.sequence($0.last, advancedBy: 1) }
                ?? header.baseSequence
            guard header.baseSequence == expected else {
                return BatchResult(errorCode: ErrorCode.outOfOrderSequenceNumber.rawValue)
            }
            producer.written.append(
                Written(base: header.baseSequence, last: header.lastSequence, offset: Int64(forgotten + entries.count)))
            producer.written = producer.written.suffix(5)
            producers[header.producerId] = producer
        }
        let offset = Int64(forgotten + entries.count)
        var values: [String] = []
        try batch.withUnsafeBytes { bytes in
            try RecordBatchReader().forEachRecord(of: bytes) { view throws(RecordFormatError) in
                values.append(String(decoding: view.value!, as: UTF8.self))
            }
        }
        entries += values.map {
            Entry(
                value: $0, producer: ProducerIdentity(id: header.producerId, epoch: header.producerEpoch),
                isTransactional: header.isTransactional)
        }
        return BatchResult(baseOffset: offset)
    }
}

import KafkaProtocol
import MartletClient
import RecordFormat
import Testing

@Suite struct FetchedRecordsTests {
    let partition = TopicPartition("t", 0)

    private func batch(
        at offset: Int64, _ values: [String], attributes: RecordBatchAttributes = [], producerId: Int64 = -1
    ) throws -> [UInt8] {
        var builder = RecordBatchBuilder(attributes: attributes, baseOffset: offset, producerId: producerId)
        for value in values { builder.append(key: nil, value: Array(value.utf8), timestamp: 1) }
        return try builder.build()
    }

    private func values(_ records: FetchedRecords) throws -> [String] {
        var values: [String] = []
        try records.forEachRecord(with: RecordBatchReader()) { record in
            values.append(String(decoding: record.value!, as: UTF8.self))
            return true
        }
        return values
    }

    @Test func recordsBeforeTheStartAndACutOffBatchAreLeftOut() throws {
        let last = try batch(at: 8, ["f"])
        let bytes = try batch(at: 3, ["a", "b", "c"]) + batch(at: 6, ["d", "e"]) + last.dropLast()
        let records = try FetchedRecords(partition: partition, bytes: bytes, startOffset: 4, highWatermark: 9)
        #expect(records.nextOffset == 8)
        #expect(records.bytes.count == bytes.count - last.count + 1)
        #expect(try values(records) == ["b", "c", "d", "e"])
    }

    @Test func readingStopsWhenItIsTold() throws {
        let bytes = try batch(at: 0, ["a", "b", "c"]) + batch(at: 3, ["d"])
        let records = try FetchedRecords(partition: partition, bytes: bytes, startOffset: 0, highWatermark: 4)
        var count = 0
        try records.forEachRecord(with: RecordBatchReader()) { _ in
            count += 1
            return count < 2
        }
        #expect(count == 2)
    }

    @Test func damageIsReported() throws {
        var bytes = try batch(at: 0, ["a"])
        bytes[bytes.count - 2] ^= 1
        #expect(throws: ClientError.self) {
            try FetchedRecords(partition: partition, bytes: bytes, startOffset: 0, highWatermark: 1)
        }
        let half = try Array(batch(at: 0, ["a"]).dropLast())
        #expect(throws: ClientError.self) {
            try FetchedRecords(partition: partition, bytes: half, startOffset: 0, highWatermark: 1)
        }
    }

    @Test func abortedTransactionsAreLeftOutWhenTheyAreKnown() throws {
        let abort = EndTransactionMarker(outcome: .abort, coordinatorEpoch: 0)
        let bytes =
            try batch(at: 0, ["aborted"], attributes: .transactional, producerId: 1)
            + batch(at: 1, ["kept"], attributes: .transactional, producerId: 2)
            + abort.batch(producerId: 1, producerEpoch: 0, timestamp: 1, baseOffset: 2)
            + batch(at: 3, ["after"], attributes: .transactional, producerId: 1)
        var records = try FetchedRecords(partition: partition, bytes: bytes, startOffset: 0, highWatermark: 4)
        #expect(try values(records) == ["aborted", "kept", "after"])
        var aborted = FetchResponse.AbortedTransaction()
        aborted.producerId = 1
        aborted.firstOffset = 0
        records.abortedTransactions = AbortedTransactions([aborted])
        #expect(try values(records) == ["kept", "after"])
    }
}

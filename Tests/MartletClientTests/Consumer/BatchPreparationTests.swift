import KafkaProtocol
import NIOCore
import RecordFormat
import Testing

@testable import MartletClient

/// From the bytes of a fetch to records.
@Suite struct BatchPreparationTests {
    private let partition = TopicPartition("t", 0)
    private let preparation = BatchPreparation(checksCRCs: true, decompressedLimit: 10_000_000)

    private func batch(
        at offset: Int64, _ values: [String], attributes: RecordBatchAttributes = [], producerId: Int64 = -1
    ) throws -> [UInt8] {
        var builder = RecordBatchBuilder(attributes: attributes, baseOffset: offset, producerId: producerId)
        for value in values { builder.append(key: nil, value: Array(value.utf8), timestamp: 1) }
        return try builder.build()
    }

    private func chunk(
        _ bytes: [UInt8], from offset: Int64, aborted: AbortedTransactions? = nil
    ) throws -> FetchedChunk {
        try #require(
            try FetchedChunk(
                partition, bytes: ByteBuffer(bytes: bytes), of: FetchedFrame(id: 1, byteCount: 1), startOffset: offset,
                highWatermark: 9,
                abortedTransactions: aborted))
    }

    private func values(_ prepared: BatchPreparation.Prepared) -> [String] {
        prepared.batch.map { batch in batch.map { $0.value?.string ?? "null" } } ?? []
    }

    @Test func recordsBeforeTheStartAndACutOffBatchAreLeftOut() throws {
        let last = try batch(at: 8, ["f"])
        let bytes = try batch(at: 3, ["a", "b", "c"]) + batch(at: 6, ["d", "e"]) + last.dropLast()
        let chunk = try chunk(bytes, from: 4)
        #expect(chunk.nextOffset == 8)
        #expect(chunk.byteCount == bytes.count - last.count + 1)
        let prepared = try preparation.prepare(chunk, of: partition)
        #expect(values(prepared) == ["b", "c", "d", "e"])
        #expect(prepared.nextOffset == 8 && prepared.rest == nil)
        #expect(prepared.batch?.count == 4 && prepared.batch?.firstOffset == 4 && prepared.batch?.lastOffset == 7)
    }

    @Test func damageIsReported() throws {
        var bytes = try batch(at: 0, ["a"])
        bytes[bytes.count - 2] ^= 1
        let damaged = try chunk(bytes, from: 0)
        let error = #expect(throws: ClientError.self) { try preparation.prepare(damaged, of: partition) }
        #expect(error?.code == .malformedReply)
        let half = Array(bytes.dropLast())
        #expect(
            try FetchedChunk(
                partition, bytes: ByteBuffer(bytes: half), of: FetchedFrame(id: 1, byteCount: 1), startOffset: 0,
                highWatermark: 9, abortedTransactions: nil)?
                .byteCount == nil)
        // What the broker was not asked for.
        let early = try batch(at: 0, ["a"])
        #expect(throws: ClientError.self) { try chunk(early, from: 1) }
        var older = early
        older[16] = 1
        #expect(throws: ClientError.self) { try chunk(older, from: 0) }
    }

    /// Any single changed byte of the records is met with an error or with other records, never with a trap.
    @Test func hostileRecordsDoNotTrap() throws {
        let careless = BatchPreparation(checksCRCs: false, decompressedLimit: 10_000)
        let bytes = try batch(at: 0, ["abc", "defg", ""]) + batch(at: 3, ["h"])
        var refused = 0
        for position in 12..<bytes.count {
            for change in [1, 0x7F, 0x80, 0xFF] as [UInt8] {
                var changed = bytes
                changed[position] ^= change
                do {
                    try careless.prepare(try chunk(changed, from: 0), of: partition).batch?.forEachRecord { record in
                        _ = (record.key?.string, record.value?.string, record.headers)
                    }
                } catch {
                    refused += 1
                }
            }
        }
        #expect(refused > 50)
    }

    @Test func recordsOfAbortedTransactionsAreLeftOut() throws {
        func transactional(_ offset: Int64, _ value: String, _ producer: Int64) throws -> [UInt8] {
            try batch(at: offset, [value], attributes: .transactional, producerId: producer)
        }
        let abort = EndTransactionMarker(outcome: .abort, coordinatorEpoch: 0)
            .batch(producerId: 7, producerEpoch: 0, timestamp: 1, baseOffset: 2)
        let bytes =
            try transactional(0, "no", 7) + transactional(1, "yes", 8) + abort + transactional(3, "later", 7)
        var aborted = FetchResponse.AbortedTransaction()
        aborted.producerId = 7
        aborted.firstOffset = 0
        let committed = try preparation.prepare(
            chunk(bytes, from: 0, aborted: AbortedTransactions([aborted])), of: partition)
        #expect(values(committed) == ["yes", "later"])
        let all = try preparation.prepare(chunk(bytes, from: 0), of: partition)
        #expect(values(all) == ["no", "yes", "later"])
        let nothing = try preparation.prepare(chunk(abort, from: 2), of: partition)
        #expect(nothing.batch == nil && nothing.nextOffset == 3)
    }

    /// Compressed batches become records a part at a time.
    @Test func notAllIsDecompressedAtOnce() throws {
        var bytes: [UInt8] = []
        for index in 0..<8 {
            var builder = RecordBatchBuilder(codec: .zstd, baseOffset: Int64(index))
            builder.append(key: nil, value: [UInt8](repeating: UInt8(index), count: 600_000), timestamp: 1)
            bytes += try builder.build()
        }
        var rest: FetchedChunk? = try chunk(bytes, from: 0)
        var counts: [Int] = []
        while let part = rest {
            let prepared = try preparation.prepare(part, of: partition)
            counts.append(prepared.batch?.count ?? 0)
            #expect(prepared.batch?.allSatisfy { $0.value?.count == 600_000 } == true)
            rest = prepared.rest
        }
        #expect(counts == [2, 2, 2, 2])
        let bomb = BatchPreparation(checksCRCs: true, decompressedLimit: 500_000)
        let whole = try chunk(bytes, from: 0)
        #expect(throws: ClientError.self) { try bomb.prepare(whole, of: partition) }
    }
}

import KafkaProtocol
import NIOCore
import RecordFormat
import Testing

@testable import MartletClient

@Suite struct ProduceRequestTests {
    /// What is written by hand is what the generated code reads, in each version, whether parts are copied or not.
    @Test(arguments: [3, 8, 9, 12] as [Int16], [10, 20_000])
    func theFrameIsAProduceRequest(version: Int16, length: Int) throws {
        let encoder = ProduceRequestEncoder(
            clientId: "me", transactionalId: "tx", acknowledgements: -1, timeoutMilliseconds: 1234, version: version)
        let batches: [(topic: String, partition: Int32, bytes: ByteBuffer)] = [
            ("b", 1, ByteBuffer(repeating: 1, count: length)), ("a", 0, ByteBuffer(repeating: 2, count: length)),
            ("b", 2, ByteBuffer(repeating: 3, count: length)),
        ]
        let bytes = encoder.encode(batches).flatMap { Array($0.readableBytesView) }
        let span = bytes.span.bytes
        var cursor = ByteCursor()
        #expect(Int(try cursor.int32(span)) == bytes.count - 4)
        let header = try RequestHeader(from: span, at: &cursor, version: version >= 9 ? 2 : 1)
        #expect(header.requestApiKey == 0 && header.requestApiVersion == version && header.clientId == "me")
        let request = try ProduceRequest(from: span, at: &cursor, version: version)
        #expect(cursor.position == bytes.count)
        #expect(request.transactionalId == "tx" && request.acks == -1 && request.timeoutMs == 1234)
        #expect(request.topicData.map(\.name) == ["a", "b"])
        #expect(request.topicData.map { $0.partitionData.map(\.index) } == [[0], [1, 2]])
        #expect(request.topicData[1].partitionData[1].records == [UInt8](repeating: 3, count: length))
    }

    /// Records of all shapes, in all codecs, read back as they were, under a checksum that holds after the header changes.
    @Test(arguments: [Compression.none, .gzip, .snappy, .lz4, .zstd])
    func aBatchHoldsItsRecords(compression: Compression) throws {
        let batch = ProducerBatch(
            slot: 0, completion: BatchCompletion(topic: "t", partition: 0), created: ContinuousClock.now, capacity: 64)
        var expected: [Record] = []
        for index in 0..<300 {
            let key: [UInt8]? = index % 3 == 0 ? nil : [UInt8](repeating: 7, count: index % 3 - 1)
            let value: [UInt8]? =
                index % 7 == 0 ? nil : [UInt8](repeating: UInt8(index & 0xFF), count: index * index % 1000)
            let headers = index % 5 == 0 ? [Header(key: "ü\(index)", value: nil), Header(key: "", text: "x")] : []
            let timestamp = Int64(1_000_000 + (index * 7919) % 1000 - 500)
            try key.withBytes { (key) throws(ClientError) in
                try value.withBytes { (value) throws(ClientError) in
                    let record = RecordFields(key: key, value: value, headers: headers, timestamp: timestamp)
                    #expect(batch.append(record, bound: record.lengthBound) == Int32(index))
                }
            }
            expected.append(
                Record(
                    offset: Int64(index), timestamp: timestamp, key: key, value: value,
                    headers: headers.map { RecordHeader(key: $0.key, value: $0.value) }))
        }
        for epoch in [0, 3] as [Int16] {
            batch.sequence = ProducerBatch.Sequence(producerId: 9, producerEpoch: epoch, base: 12)
            try batch.seal(
                compression: compression, isTransactional: epoch == 3, compressor: Compressor(),
                scratch: ScratchBuffer())
            let bytes = Array(batch.buffer.readableBytesView)
            try bytes.withUnsafeBytes { bytes in
                let header = try RecordBatchHeader.verified(bytes)
                #expect(header.producerId == 9 && header.producerEpoch == epoch && header.baseSequence == 12)
                #expect(header.recordCount == 300 && header.lastOffsetDelta == 299)
                #expect(header.isTransactional == (epoch == 3))
                #expect(header.maxTimestamp == expected.map(\.timestamp).max())
                var read: [Record] = []
                try RecordBatchReader().forEachRecord(of: bytes) { view throws(RecordFormatError) in
                    read.append(try view.copy())
                }
                #expect(read == expected)
            }
        }
    }
}

import RecordFormat
import Testing

/// Batches that another implementation made (kafka-python's record builder): three records, producer 77 of epoch 3,
/// transactional, from sequence 5 on.
@Suite struct GoldenBatchTests {
    static let batches: [CompressionCodec: String] = [
        .none:
            "0000000000000000000000ab00000000024e4ac9970010000000020000018bcfe568000000018bcfe56fd00000000000"
            + "00004d0003000000050000000360000000015476616c75652d3076616c75652d3076616c75652d3076616c75652d3076"
            + "616c75652d3076616c75652d30001600d00f02086b65793101007800a01f04086b6579325476616c75652d3276616c75"
            + "652d3276616c75652d3276616c75652d3276616c75652d3276616c75652d320402680278026e01",
        .gzip:
            "0000000000000000000000760000000002613e52840011000000020000018bcfe568000000018bcfe56fd00000000000"
            + "00004d000300000005000000031f8b08008a40046b02ff4b606060600c294bcc294dd5352082621063b8c0cfc4919d5a"
            + "69c8c850c1b0409e05c436829a604404c5c294c154c194c708007416c3417a000000",
        .snappy:
            "0000000000000000000000800000000002ce32a4d20012000000020000018bcfe568000000018bcfe56fd00000000000"
            + "00004d0003000000050000000382534e415050590000000001000000010000003b7a3060000000015476616c75652d30"
            + "8a070044001600d00f02086b65793101007800a01f04010c00320d42003209427207001c0402680278026e01",
        .lz4:
            "00000000000000000000008400000000026a6464ef0013000000020000018bcfe568000000018bcfe56fd00000000000"
            + "00004d0003000000050000000304224d1868407a00000000000000c83c000000df60000000015476616c75652d300700"
            + "10f003001600d00f02086b65793101007800a01f040c0013324200123242000f07000a800402680278026e0100000000",
        .zstd:
            "00000000000000000000007d00000000023110214b0014000000020000018bcfe568000000018bcfe56fd00000000000"
            + "00004d0003000000050000000328b52ffd207a1d0200e40260000000015476616c75652d30001600d00f02086b657931"
            + "01007800a01f04323232323232320402680278026e01080060081807060343605c119279b16c22cb17",
    ]

    static let records = [
        Record(offset: 0, timestamp: 1_700_000_000_000, key: nil, value: Array(repeated("value-0").utf8)),
        Record(offset: 1, timestamp: 1_700_000_001_000, key: Array("key1".utf8), value: nil),
        Record(
            offset: 2, timestamp: 1_700_000_002_000, key: Array("key2".utf8), value: Array(repeated("value-2").utf8),
            headers: [RecordHeader(key: "h", value: Array("x".utf8)), RecordHeader(key: "n", value: nil)]),
    ]

    static func repeated(_ text: String) -> String { String(repeating: text, count: 6) }

    func bytes(_ codec: CompressionCodec) throws -> [UInt8] {
        let hexadecimal = try #require(Self.batches[codec])
        var bytes: [UInt8] = []
        var rest = hexadecimal[...]
        while !rest.isEmpty {
            bytes.append(try #require(UInt8(rest.prefix(2), radix: 16)))
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    @Test(arguments: CompressionCodec.allCases) func areRead(codec: CompressionCodec) throws {
        let bytes = try bytes(codec)
        let header = try bytes.withUnsafeBytes { try RecordBatchHeader.verified($0) }
        #expect(header.codec == codec && header.isTransactional && !header.isControl)
        #expect(header.producerId == 77 && header.producerEpoch == 3 && header.baseSequence == 5)
        #expect(header.lastSequence == 7 && header.recordCount == 3 && header.lastOffsetDelta == 2)
        #expect(header.baseTimestamp == 1_700_000_000_000 && header.maxTimestamp == 1_700_000_002_000)
        #expect(try bytes.withUnsafeBytes { try RecordBatchReader().records(of: $0) } == Self.records)
        let verdict = bytes.withUnsafeBytes {
            RecordBatchValidator().validate($0, rules: RecordBatchRules(), now: 1_700_000_000_000)
        }
        guard case .accepted = verdict else {
            Issue.record("\(verdict)")
            return
        }
    }

    @Test func areWrittenTheSame() throws {
        var builder = RecordBatchBuilder(
            attributes: [.transactional], partitionLeaderEpoch: 0, producerId: 77, producerEpoch: 3, baseSequence: 5)
        for record in Self.records {
            builder.append(
                key: record.key, value: record.value, headers: record.headers, timestamp: record.timestamp)
        }
        #expect(try builder.build() == bytes(.none))
    }

    @Test func headersAreWrittenAsTheyAreRead() throws {
        let bytes = try bytes(.none)
        let header = try #require(bytes.withUnsafeBytes { RecordBatchHeader($0) })
        var written = [UInt8](repeating: 0, count: RecordBatchHeader.byteCount)
        written.withUnsafeMutableBytes { header.write(to: $0) }
        #expect(written == Array(bytes[..<RecordBatchHeader.byteCount]))
    }
}

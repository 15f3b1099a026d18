import RecordFormat
import Testing

@Suite struct ValidatorTests {
    let validator = RecordBatchValidator(decompressedLimit: 1 << 20)
    let now: Int64 = 1_700_000_000_000

    func batch(
        _ count: Int = 3, codec: CompressionCodec = .none, key: [UInt8]? = nil, headers: [RecordHeader] = [],
        timestamps: [Int64]? = nil, _ change: (inout RecordBatchBuilder) -> Void = { _ in }
    ) throws -> [UInt8] {
        var builder = RecordBatchBuilder(codec: codec)
        for index in 0..<count {
            builder.append(
                key: key, value: Array("value \(index)".utf8), headers: headers,
                timestamp: timestamps?[index] ?? now + Int64(index))
        }
        change(&builder)
        return try builder.build()
    }

    func validate(_ bytes: [UInt8], _ rules: RecordBatchRules = .init()) -> RecordBatchVerdict {
        bytes.withUnsafeBytes { validator.validate($0, rules: rules, now: now) }
    }

    func rejection(_ bytes: [UInt8], _ rules: RecordBatchRules = .init()) -> RecordBatchRejection? {
        if case .rejected(let rejection) = validate(bytes, rules) { return rejection }
        return nil
    }

    /// Puts the right checksum on a batch whose bytes were changed.
    func sealed(_ bytes: [UInt8], _ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var bytes = bytes
        change(&bytes)
        let crc = bytes.withUnsafeBytes { crc32c(UnsafeRawBufferPointer(rebasing: $0[21...])) }
        bytes.replaceSubrange(17..<21, with: withUnsafeBytes(of: crc.bigEndian, Array.init))
        return bytes
    }

    @Test(arguments: CompressionCodec.allCases) func ordinaryBatchesAreStoredAsTheyCame(codec: CompressionCodec) throws
    {
        let headers = [RecordHeader(key: "h", value: [1]), RecordHeader(key: "", value: nil)]
        guard case .accepted(let header) = validate(try batch(200, codec: codec, headers: headers)) else {
            Issue.record("refused")
            return
        }
        #expect(header.recordCount == 200 && header.codec == codec)
    }

    @Test func everyDamagedByteUnderTheChecksumIsSeen() throws {
        let good = try batch()
        for index in 16..<good.count {
            var bad = good
            bad[index] ^= 1
            #expect(rejection(bad) != nil, "byte \(index)")
        }
        for length in 0..<good.count { #expect(rejection(Array(good[..<length]))?.reason == .corruptMessage) }
        #expect(rejection(good + [0])?.reason == .corruptMessage)
    }

    @Test func oldFormatsAreUnsupported() throws {
        for (magic, reason) in [
            (UInt8(0), RecordBatchRejection.Reason.unsupportedForMessageFormat), (1, .unsupportedForMessageFormat),
            (3, .corruptMessage),
        ] {
            var bytes = try batch()
            bytes[16] = magic
            #expect(rejection(bytes)?.reason == reason)
            // A whole message of formats 0 and 1 may be shorter than a batch's header.
            if magic < 2 { #expect(rejection(Array(bytes[..<34]))?.reason == reason) }
        }
    }

    @Test func countsMustAgree() throws {
        let good = try batch()
        // The count says 2, 4 and 0; the last offset 1.
        for (range, value) in [(57..<61, Int32(2)), (57..<61, 4), (57..<61, 0), (23..<27, 1)] {
            let bad = sealed(good) { $0.replaceSubrange(range, with: withUnsafeBytes(of: value.bigEndian, Array.init)) }
            #expect(rejection(bad)?.reason == .invalidRecord)
        }
        // Both agree, but not with the records.
        for count in [Int32(2), 4] {
            let bad = sealed(good) {
                $0.replaceSubrange(57..<61, with: withUnsafeBytes(of: count.bigEndian, Array.init))
                $0.replaceSubrange(23..<27, with: withUnsafeBytes(of: (count - 1).bigEndian, Array.init))
            }
            #expect(rejection(bad)?.reason == .invalidRecord)
        }
    }

    @Test func clientsWriteNoControlBatches() throws {
        let marker = EndTransactionMarker(outcome: .commit, coordinatorEpoch: 3).batch(
            producerId: 1, producerEpoch: 0, timestamp: now)
        #expect(rejection(marker)?.reason == .invalidRecord)
        #expect(rejection(marker, RecordBatchRules(allowsControlBatches: true)) == nil)
        #expect(
            try marker.withUnsafeBytes { try EndTransactionMarker(batch: $0) }
                == EndTransactionMarker(outcome: .commit, coordinatorEpoch: 3))
    }

    @Test func producersNeedSequencesAndEpochs() throws {
        let cases: [(Int64, Int16, Int32, Bool)] = [
            (5, 0, 0, true), (5, 0, -1, false), (5, -1, 0, false), (-1, -1, -1, true),
        ]
        for (producer, epoch, sequence, isGood) in cases {
            let bytes = try batch {
                $0.header.producerId = producer
                $0.header.producerEpoch = epoch
                $0.header.baseSequence = sequence
            }
            #expect((rejection(bytes) == nil) == isGood)
        }
        let transactional = try batch { $0.header.attributes.insert(.transactional) }
        #expect(rejection(transactional)?.reason == .invalidRecord)
    }

    @Test func unknownCodecsAreRefused() throws {
        for codec in UInt8(5)...7 {
            #expect(rejection(sealed(try batch()) { $0[22] = codec })?.reason == .unsupportedCompressionType)
        }
    }

    @Test(arguments: CompressionCodec.allCases) func compactedTopicsNeedKeys(codec: CompressionCodec) throws {
        var rules = RecordBatchRules()
        rules.isCompacted = true
        #expect(rejection(try batch(codec: codec, key: [1]), rules) == nil)
        let refused = try #require(rejection(try batch(codec: codec), rules))
        #expect(refused.reason == .invalidRecord)
        #expect(refused.recordErrors.map(\.index) == [0, 1, 2])
    }

    @Test func timestampsHaveBounds() throws {
        var rules = RecordBatchRules()
        rules.timestampBeforeMaximum = 1000
        rules.timestampAfterMaximum = 500
        #expect(rejection(try batch(2, timestamps: [now - 1000, now + 500]), rules) == nil)
        let refused = try #require(
            rejection(try batch(4, timestamps: [now - 1001, now, now + 501, now]), rules))
        #expect(refused.reason == .invalidTimestamp)
        #expect(refused.recordErrors.map(\.index) == [0, 2])
        rules.timestampType = .logAppendTime
        #expect(rejection(try batch(1, timestamps: [0]), rules) == nil)
        // The extremes do not overflow.
        #expect(rejection(try batch(1, timestamps: [.max]), RecordBatchRules()) != nil)
        #expect(rejection(try batch(1, timestamps: [-1]), RecordBatchRules()) == nil)
    }

    @Test func aWrongLargestTimestampIsCorrected() throws {
        let bytes = try batch(3, timestamps: [now, now + 9, now + 1]) { $0.header.maxTimestamp = now + 500 }
        guard case .rewritten(let header, let rewritten) = validate(bytes) else {
            Issue.record("not rewritten")
            return
        }
        #expect(header.maxTimestamp == now + 9)
        #expect(try rewritten.withBytes { try RecordBatchHeader.verified($0) } == header)
    }

    @Test(arguments: CompressionCodec.allCases) func theBrokersTimeReplacesTheRecords(codec: CompressionCodec) throws {
        guard
            case .rewritten(let header, let rewritten) = validate(
                try batch(codec: codec), RecordBatchRules(timestampType: .logAppendTime))
        else {
            Issue.record("not rewritten")
            return
        }
        #expect(header.maxTimestamp == now && header.attributes.timestampType == .logAppendTime)
        let records = try rewritten.withBytes { try RecordBatchReader().records(of: $0) }
        #expect(records.map(\.timestamp) == [now, now, now])
    }

    @Test(arguments: CompressionCodec.allCases, CompressionCodec.allCases)
    func theTopicsCodecWins(from: CompressionCodec, to: CompressionCodec) throws {
        let bytes = try batch(50, codec: from, key: [9])
        let verdict = validate(bytes, RecordBatchRules(compression: .codec(to, level: nil)))
        if from == to {
            guard case .accepted = verdict else {
                Issue.record("not accepted")
                return
            }
            return
        }
        guard case .rewritten(let header, let rewritten) = verdict else {
            Issue.record("not rewritten")
            return
        }
        #expect(header.codec == to)
        let before = try bytes.withUnsafeBytes { try RecordBatchReader().records(of: $0) }
        let after = try rewritten.withBytes { bytes in
            _ = try RecordBatchHeader.verified(bytes)
            return try RecordBatchReader().records(of: bytes)
        }
        #expect(before == after)
    }

    @Test(arguments: [CompressionCodec.gzip, .lz4, .zstd, .snappy]) func bombsAreRefused(codec: CompressionCodec) throws
    {
        var builder = RecordBatchBuilder(codec: codec)
        builder.append(key: nil, value: Array(repeating: 0, count: 2 << 20), timestamp: now)
        #expect(rejection(try builder.build())?.reason == .invalidRecord)
    }

    /// Whatever bytes come, a verdict comes back, and what is accepted can be read.
    @Test(arguments: CompressionCodec.allCases) func hostileBatchesAreContained(codec: CompressionCodec) throws {
        var random = Seeded(UInt64(codec.rawValue) + 5)
        let good = try batch(5, codec: codec, key: [1, 2], headers: [RecordHeader(key: "a", value: [3])])
        let reader = RecordBatchReader(decompressedLimit: 1 << 20)
        var accepted = 0
        for _ in 0..<5000 {
            let bad = sealed(good) { bytes in
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    let index = Int.random(in: 21..<bytes.count, using: &random)
                    bytes[index] = .random(in: 0...255, using: &random)
                }
            }
            switch validate(bad) {
            case .accepted(let header):
                accepted += 1
                #expect(try bad.withUnsafeBytes { try reader.records(of: $0) }.count == Int(header.recordCount))
            case .rewritten(let header, let rewritten):
                #expect(try rewritten.withBytes { try reader.records(of: $0) }.count == Int(header.recordCount))
            case .rejected: break
            }
            _ = try? bad.withUnsafeBytes { try reader.records(of: $0) }
        }
        #expect(accepted > 100)
    }

    /// A sum that wraps around would pass for a time long ago, and trap whoever subtracts it.
    @Test(arguments: [(Int64.max, Int64(1)), (Int64.min, Int64(0)), (Int64(-2), Int64(0)), (Int64(0), Int64.min + 1)])
    func timestampsOutsideTheRangeAreRefused(base: Int64, delta: Int64) throws {
        var bytes = try batch(1, timestamps: [0])
        // The record: length, attributes, then the timestamp's delta.
        var record: [UInt8] = [0]
        var zigzag = UInt64(bitPattern: delta << 1 ^ delta >> 63)
        while zigzag > 0x7F {
            record.append(UInt8(zigzag & 0x7F) | 0x80)
            zigzag >>= 7
        }
        record += [UInt8(zigzag), 0, 1, 2, 65, 0]
        bytes.removeSubrange(61...)
        bytes += [UInt8(record.count) << 1] + record
        let whole = sealed(bytes) { bytes in
            bytes.replaceSubrange(8..<12, with: withUnsafeBytes(of: Int32(bytes.count - 12).bigEndian, Array.init))
            bytes.replaceSubrange(27..<35, with: withUnsafeBytes(of: base.bigEndian, Array.init))
        }
        #expect(rejection(whole, RecordBatchRules(timestampAfterMaximum: .max))?.reason == .invalidTimestamp)
    }
}

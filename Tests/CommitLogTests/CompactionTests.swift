import RecordFormat
import Testing

@testable import CommitLog

/// A compacted log, the dictionary that it should amount to, and every record it ever got.
private final class Table {
    let disk: SimulatedFileSystem
    let partition = PartitionName(topic: "t", partition: 0)
    var configuration: LogConfiguration
    var directory: LogDirectory?
    var log: Log?
    var model: [String: String] = [:]
    /// key and value by offset, aborted ones left out.
    var history: [Int64: (key: String, value: String?)] = [:]
    var now: Int64 = 10_000
    var random: SplitMix64
    var sequences: [Int64: Int32] = [:]
    private var counter = 0

    init(seed: UInt64) {
        disk = SimulatedFileSystem(seed: seed)
        random = SplitMix64(seed: seed)
        configuration = Fixture.configuration(segmentBytes: 700)
        configuration.cleanupPolicy = .compact
        configuration.minimumCleanableDirtyRatio = 0
        configuration.deleteRetentionMilliseconds = 500
        configuration.producerIdExpirationMilliseconds = .max
    }

    func open() throws {
        let opened = try LogDirectory.open(
            .init(
                path: "data", fileSystem: disk, clusterId: "c", nodeId: 1,
                configuration: { [configuration] _ in configuration }, now: now))
        directory = opened.directory
        log =
            try opened.directory.log(partition)
            ?? opened.directory.createLog(partition, topicId: nil, configuration: configuration, now: now)
        log?.updateHighWatermark(log?.endOffset ?? 0)
    }

    struct Stopped: Error {}

    /// Appends one batch; with a producer now and then, in a transaction that may be aborted.
    func append() throws {
        guard let log else { return }
        counter += 1
        now += 10
        let codec = CompressionCodec.allCases.randomElement(using: &random) ?? .none
        let producer: Int64 = Int.random(in: 0..<3, using: &random) == 0 ? .random(in: 1...3, using: &random) : -1
        let transactional = producer == 3
        var builder = RecordBatchBuilder(
            codec: codec, attributes: transactional ? [.transactional] : [], producerId: producer,
            producerEpoch: producer < 0 ? -1 : 0, baseSequence: producer < 0 ? -1 : sequences[producer, default: 0])
        var records: [(String, String?)] = []
        for index in 0..<Int.random(in: 1...4, using: &random) {
            let key = "k\(Int.random(in: 0..<12, using: &random))"
            let value = Int.random(in: 0..<5, using: &random) == 0 ? nil : "\(counter).\(index)"
            builder.append(key: Array(key.utf8), value: value.map { Array($0.utf8) }, timestamp: now)
            records.append((key, value))
        }
        let offset = log.endOffset
        let isAborted = transactional && Bool.random(using: &random)
        if !isAborted {
            for (index, record) in records.enumerated() { history[offset + Int64(index)] = record }
        }
        guard case .appended? = log.append([try builder.build()], now: now).first else { throw Stopped() }
        if producer >= 0 { sequences[producer, default: 0] += Int32(records.count) }
        if transactional {
            let marker = EndTransactionMarker(outcome: isAborted ? .abort : .commit, coordinatorEpoch: 0)
                .batch(producerId: producer, producerEpoch: 0, timestamp: now)
            guard case .appended? = log.append([marker], now: now).first else { throw Stopped() }
        }
        if !isAborted { for (key, value) in records { model[key] = value } }
        log.updateHighWatermark(log.endOffset)
    }

    /// What a reader of committed records sees, by offset.
    func visible() throws -> [(offset: Int64, key: String, value: String?)] {
        guard let log else { return [] }
        let aborted = log.abortedTransactions(from: 0, to: .max)
        var found: [(Int64, String, String?)] = []
        let bytes = try log.bytes(from: log.startOffset)
        var position = 0
        for header in batchHeaders(bytes) {
            let batch = Array(bytes[position..<position + header.totalLength])
            position += header.totalLength
            _ = try batch.withUnsafeBytes { try RecordBatchHeader.verified($0) }
            if header.isControl { continue }
            let isAborted =
                header.isTransactional
                && aborted.contains {
                    $0.producerId == header.producerId && ($0.firstOffset...$0.lastOffset).contains(header.baseOffset)
                }
            if isAborted { continue }
            for record in try batch.withUnsafeBytes({ try RecordBatchReader().records(of: $0) }) {
                found.append(
                    (
                        record.offset, String(decoding: record.key ?? [], as: UTF8.self),
                        record.value.map { String(decoding: $0, as: UTF8.self) }
                    ))
            }
        }
        return found
    }

    /// The log amounts to `model`, and holds only what was written, where it was written.
    func check(_ model: [String: String], _ context: String) throws {
        var state: [String: String] = [:]
        var last: Int64 = -1
        for record in try visible() {
            #expect(record.offset > last, "offsets out of order: \(context)")
            last = record.offset
            let original = history[record.offset]
            #expect(original?.key == record.key && original?.value == record.value, "a record changed: \(context)")
            state[record.key] = record.value
        }
        #expect(state == model, "another table: \(context)")
    }

    func compact(_ cleaner: LogCleaner = LogCleaner()) throws -> CompactionResult? {
        guard let log, let directory else { return nil }
        try log.sync()
        try directory.writeCheckpoints()
        return try cleaner.clean(log, now: now)
    }
}

@Suite struct CompactionTests {
    @Test(arguments: UInt64(1)...15) func amountsToTheDictionary(seed: UInt64) throws {
        let table = Table(seed: seed)
        try table.open()
        let cleaner = LogCleaner(offsetMapBytes: OffsetMap.bytesPerKey * (seed % 3 == 0 ? 7 : 1000))
        var compactions = 0
        for step in 0..<150 {
            try table.append()
            if step % 20 == 19 {
                let before = try table.visible().count
                if let result = try table.compact(cleaner) {
                    compactions += 1
                    #expect(result.bytesAfter <= result.bytesBefore + 200)
                    #expect(try table.visible().count <= before)
                }
                try table.check(table.model, "seed \(seed), step \(step)")
            }
            if step % 50 == 49 {
                try table.directory?.close(now: table.now)
                try table.open()
                try table.check(table.model, "seed \(seed), reopened at step \(step)")
            }
        }
        #expect(compactions >= 5)
        let producers = try #require(table.log).activeProducers()
        for producer in producers { #expect(producer.lastSequence + 1 == table.sequences[producer.producerId]) }
        // Producers are found again from the compacted records alone.
        try table.directory?.close(now: table.now)
        for name in try table.disk.list("data/t-0") where name.hasSuffix(".snapshot") {
            try table.disk.removeFile("data/t-0/" + name)
        }
        try table.open()
        #expect(table.log?.activeProducers().map(\.lastSequence) == producers.map(\.lastSequence))
        // Every offset can be asked for.
        let log = try #require(table.log)
        for offset in log.startOffset..<log.endOffset {
            let slice = try log.read(from: offset, maxBytes: 1, minOneBatch: true)
            #expect(slice.length >= RecordBatchHeader.byteCount)
        }
    }

    @Test func keepsOneRecordAKeyAndTombstonesForAWhile() throws {
        let table = Table(seed: 1)
        table.configuration.segmentBytes = 300
        try table.open()
        let log = try #require(table.log)
        func put(_ key: String, _ value: String?) throws {
            var builder = RecordBatchBuilder()
            builder.append(key: Array(key.utf8), value: value.map { Array($0.utf8) }, timestamp: 1)
            log.append([try builder.build()], now: table.now)
            log.updateHighWatermark(log.endOffset)
        }
        for round in 0..<10 { try put("a", "\(round)") }
        try put("b", "1")
        try put("b", nil)
        for round in 0..<8 { try put("c", "\(round)") }
        _ = try table.compact()
        func cleanPart() throws -> [String] { try table.visible().map { "\($0.key)=\($0.value ?? "nil")" } }
        #expect(try cleanPart().prefix(2) == ["a=9", "b=nil"])
        // The horizon was set by the first compaction; until then the tombstone stays.
        for round in 0..<8 { try put("c", "\(round)") }
        table.now += 499
        _ = try table.compact()
        #expect(try cleanPart().contains("b=nil"))
        for round in 0..<8 { try put("c", "\(round)") }
        table.now += 1
        _ = try table.compact()
        #expect(try !cleanPart().contains("b=nil"))
        #expect(try cleanPart().first == "a=9")
    }

    @Test func youngAndUndecidedRecordsAreLeftAlone() throws {
        let table = Table(seed: 1)
        table.configuration.minimumCompactionLagMilliseconds = 1_000_000
        try table.open()
        for _ in 0..<60 { try table.append() }
        #expect(try table.compact() == nil)
        table.configuration.minimumCompactionLagMilliseconds = 0
        table.log?.updateConfiguration(table.configuration)
        // A new log whose first batch opens a transaction.
        let other = Table(seed: 2)
        try other.open()
        let open = Fixture.batch(
            ["x"], key: "k", producerId: 9, epoch: 0, sequence: 0, transactional: true)
        other.log?.append([open])
        for _ in 0..<60 { try other.append() }
        #expect(try other.compact() == nil)
        #expect(try table.compact() != nil)
    }

    @Test(arguments: UInt64(1)...3) func everyCrashPointOfACompactionIsSurvived(seed: UInt64) throws {
        func prepare() throws -> Table {
            let table = Table(seed: seed)
            try table.open()
            for _ in 0..<60 { try table.append() }
            try table.log?.sync()
            try table.directory?.writeCheckpoints()
            return table
        }
        let whole = try prepare()
        let start = whole.disk.operationCount
        #expect(try whole.compact() != nil)
        try whole.log?.deletePendingFiles(now: .max)
        let end = whole.disk.operationCount
        #expect(end - start > 30)
        for point in start + 1...end {
            let table = try prepare()
            table.disk.crash(atOperation: point)
            #expect(throws: (any Error).self) {
                _ = try table.compact()
                try table.log?.deletePendingFiles(now: .max)
            }
            #expect(table.disk.hasCrashed)
            let end = table.log?.endOffset
            table.log = nil
            table.directory = nil
            table.disk.restart()
            try table.open()
            #expect(table.log?.endOffset == end)
            try table.check(table.model, "seed \(seed), operation \(point)")
            for _ in 0..<20 { try table.append() }
            _ = try table.compact()
            try table.check(table.model, "seed \(seed), operation \(point), and another compaction")
            #expect(try !table.disk.list("data/t-0").contains { $0.hasSuffix(".swap") || $0.hasSuffix(".cleaned") })
        }
    }
}

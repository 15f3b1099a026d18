import RecordFormat
import Testing

@testable import CommitLog

/// A compacted log that several producers write transactions to, interleaved, and what its readers must see.
private final class TransactionalTable {
    struct Written {
        var offset: Int64
        var key: String
        var value: String?
    }

    struct Producer {
        var id: Int64
        var epoch: Int16 = 0
        var sequence: Int32 = 0
        var isCoordinator: Bool
        var firstOffset: Int64?
        var open: [Written] = []
    }

    let disk: SimulatedFileSystem
    private let partition = PartitionName(topic: "t", partition: 0)
    var configuration = Fixture.configuration(segmentBytes: 900)
    var directory: LogDirectory?
    var log: Log?
    var now: Int64 = 10_000
    var random: SplitMix64
    var producers = (1...5).map { Producer(id: $0, isCoordinator: $0 > 3) }
    var committed: [Int64: Written] = [:]
    var compactions = 0
    private var counter = 0

    init(seed: UInt64) {
        disk = SimulatedFileSystem(seed: seed)
        random = SplitMix64(seed: seed)
        configuration.cleanupPolicy = .compact
        configuration.minimumCleanableDirtyRatio = 0
        configuration.deleteRetentionMilliseconds = 100
        configuration.producerIdExpirationMilliseconds = 2000
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

    struct Refused: Error {
        var outcome: AppendOutcome?
    }

    private func put(_ bytes: [UInt8], _ permission: AppendPermission) throws -> Int64 {
        let log = try #require(log)
        let outcome = log.append([bytes], now: now, permission).first
        guard case .appended(let offset, _)? = outcome else { throw Refused(outcome: outcome) }
        log.updateHighWatermark(log.endOffset)
        return offset
    }

    func write() throws {
        counter += 1
        now += 5
        let index = Int.random(in: 0..<producers.count, using: &random)
        let producer = producers[index]
        var builder = RecordBatchBuilder(
            attributes: .transactional, producerId: producer.id, producerEpoch: producer.epoch,
            baseSequence: producer.isCoordinator ? -1 : producer.sequence)
        let count = Int32.random(in: 1...3, using: &random)
        var written: [Written] = []
        for _ in 0..<count {
            let key = "k\(Int.random(in: 0..<9, using: &random))"
            let value = Int.random(in: 0..<5, using: &random) == 0 ? nil : "\(counter)"
            builder.append(key: Array(key.utf8), value: value.map { Array($0.utf8) }, timestamp: now)
            written.append(Written(offset: 0, key: key, value: value))
        }
        let isOpen = producer.firstOffset != nil
        let end = try #require(log).endOffset
        let offset = try put(
            try builder.build(),
            producer.isCoordinator ? .coordinator : isOpen ? .client : .verified(at: end))
        for (delta, record) in written.enumerated() {
            producers[index].open.append(
                Written(offset: offset + Int64(delta), key: record.key, value: record.value))
        }
        producers[index].sequence += count
        if !isOpen { producers[index].firstOffset = offset }
    }

    func end() throws {
        now += 5
        let index = Int.random(in: 0..<producers.count, using: &random)
        let producer = producers[index]
        let version: Int16 = Bool.random(using: &random) ? 2 : 0
        let outcome: EndTransactionMarker.Outcome = Bool.random(using: &random) ? .commit : .abort
        let epoch = producer.epoch + (version == 2 ? 1 : 0)
        let marker = EndTransactionMarker(outcome: outcome, coordinatorEpoch: 0).batch(
            producerId: producer.id, producerEpoch: epoch, timestamp: now)
        _ = try put(marker, .marker(transactionVersion: version))
        if outcome == .commit {
            for record in producer.open { committed[record.offset] = record }
        }
        producers[index].open = []
        producers[index].firstOffset = nil
        if epoch != producer.epoch { producers[index].sequence = 0 }
        producers[index].epoch = epoch
    }

    /// What a client that reads committed records gets from `offset` on, by the client's own rules.
    func visible(from offset: Int64) throws -> [Written] {
        let log = try #require(log)
        let end = log.lastStableOffset
        var aborted = log.abortedTransactions(from: offset, to: end).sorted { $0.firstOffset < $1.firstOffset }[...]
        var ongoing: Set<Int64> = []
        var found: [Written] = []
        let bytes = try log.bytes(from: offset, upTo: end)
        var position = 0
        for header in batchHeaders(bytes) {
            let batch = Array(bytes[position..<position + header.totalLength])
            position += header.totalLength
            while let next = aborted.first, next.firstOffset <= header.lastOffset {
                ongoing.insert(next.producerId)
                aborted.removeFirst()
            }
            if header.isControl {
                let marker = try batch.withUnsafeBytes { try EndTransactionMarker(batch: $0) }
                if marker?.outcome == .abort { ongoing.remove(header.producerId) }
                continue
            }
            if ongoing.contains(header.producerId) { continue }
            for record in try batch.withUnsafeBytes({ try RecordBatchReader().records(of: $0) })
            where record.offset >= offset {
                found.append(
                    Written(
                        offset: record.offset, key: String(decoding: record.key ?? [], as: UTF8.self),
                        value: record.value.map { String(decoding: $0, as: UTF8.self) }))
            }
        }
        return found
    }

    /// A producer that the log has forgotten comes again with the next epoch.
    func returnForgotten() throws {
        let known = Set(try #require(log).activeProducers().map(\.producerId))
        for index in producers.indices where !known.contains(producers[index].id) {
            producers[index].epoch += 1
            producers[index].sequence = 0
        }
    }

    func check(_ context: String) throws {
        let log = try #require(log)
        let stable = producers.compactMap(\.firstOffset).min() ?? log.endOffset
        #expect(log.lastStableOffset == stable, "the last stable offset: \(context)")
        for producer in producers {
            #expect(
                log.hasOpenTransaction(producerId: producer.id, producerEpoch: producer.epoch)
                    == (producer.firstOffset != nil), "an open transaction: \(context)")
        }
        var expected: [String: String] = [:]
        for offset in committed.keys.sorted() where offset < stable {
            if let record = committed[offset] { expected[record.key] = record.value }
        }
        var state: [String: String] = [:]
        for record in try visible(from: log.startOffset) {
            state[record.key] = record.value
            let original = committed[record.offset]
            #expect(original?.key == record.key && original?.value == record.value, "uncommitted: \(context)")
        }
        #expect(state == expected, "another table: \(context)")
        let middle = Int64.random(in: 0...stable, using: &random)
        for record in try visible(from: middle) {
            #expect(committed[record.offset] != nil, "uncommitted from \(middle) on: \(context)")
        }
    }

    func compact() throws {
        let log = try #require(log)
        try log.sync()
        try directory?.writeCheckpoints()
        if try LogCleaner(offsetMapBytes: 1 << 16).clean(log, now: now) != nil { compactions += 1 }
    }

    func restart(clean: Bool, withoutSnapshots: Bool) throws {
        if clean { try directory?.close(now: now) } else { try log?.sync() }
        log = nil
        directory = nil
        disk.restartProcess()
        if withoutSnapshots {
            for name in try disk.list("data/t-0") where name.hasSuffix(".snapshot") {
                try disk.removeFile("data/t-0/" + name)
            }
        }
        try open()
    }
}

@Suite struct TransactionPropertyTests {
    @Test(arguments: UInt64(1)...16) func readersSeeWhatWasCommitted(seed: UInt64) throws {
        let table = TransactionalTable(seed: seed)
        try table.open()
        for step in 0..<400 {
            let context = "seed \(seed), step \(step)"
            switch Int.random(in: 0..<100, using: &table.random) {
            case ..<62: try table.write()
            case ..<90: try table.end()
            case ..<94: try table.compact()
            case ..<96:
                let clean = Bool.random(using: &table.random)
                let withoutSnapshots = seed % 2 == 0
                try table.restart(clean: clean, withoutSnapshots: withoutSnapshots)
            case ..<98:
                table.now += 400
                try table.compact()
            default:
                // Idle producers are forgotten, those with open transactions are not.
                table.now += 2500
                table.log?.expireProducers(now: table.now)
            }
            try table.returnForgotten()
            if step % 2 == 0 { try table.check(context) }
        }
        #expect(table.compactions >= 3)
        // In the end all is decided, and what is left of the markers goes.
        for index in table.producers.indices {
            while table.producers[index].firstOffset != nil { try table.end() }
        }
        try table.check("seed \(seed), decided")
    }

    /// A marker stays for delete.retention.ms after its transaction's last record went, and as long as a batch of the
    /// transaction is kept for its producer's sequence number.
    @Test func markersGoLast() throws {
        let table = TransactionalTable(seed: 1)
        table.configuration.producerIdExpirationMilliseconds = 100_000
        try table.open()
        let log = try #require(table.log)
        func put(_ producer: Int64, _ sequence: Int32, _ outcome: EndTransactionMarker.Outcome) {
            log.append(
                [
                    Fixture.batch(
                        ["v"], key: "k", producerId: producer, epoch: 0, sequence: sequence, transactional: true),
                    EndTransactionMarker(outcome: outcome, coordinatorEpoch: 0).batch(
                        producerId: producer, producerEpoch: 0, timestamp: 1000),
                ], now: table.now)
        }
        func fill() throws {
            for _ in 0..<12 { log.append([Fixture.batch(["v"], key: "k")], now: table.now) }
            log.updateHighWatermark(log.endOffset)
            try table.compact()
        }
        func batches() throws -> [String] {
            batchHeaders(try log.bytes(from: 0)).filter { $0.hasProducer }.map {
                "\($0.producerId)\($0.isControl ? "m" : "b")\($0.recordCount)"
            }
        }
        put(7, 0, .commit)
        put(7, 1, .abort)
        put(8, 0, .abort)
        try fill()
        // The next compaction is the first to find the transaction without records.
        try fill()
        // Of 7 the batch with the last sequence number is there, without records; so is that of 8.
        #expect(try batches() == ["7m1", "7b0", "7m1", "8b0", "8m1"])
        #expect(log.abortedTransactions(from: 0, to: .max).map(\.producerId) == [7, 8])
        table.now += 99
        try fill()
        #expect(try batches() == ["7m1", "7b0", "7m1", "8b0", "8m1"])
        table.now += 1
        try fill()
        #expect(try batches() == ["7b0", "7m1", "8b0", "8m1"])
        try table.restart(clean: true, withoutSnapshots: true)
        let again = try #require(table.log)
        #expect(again.lastStableOffset == again.endOffset)
        #expect(again.activeProducers().map(\.lastSequence) == [1, 0])
    }

    /// A producer of which only markers are known keeps the last one, without its record, for the epoch.
    @Test func anEmptiedMarkerKeepsTheEpoch() throws {
        let table = TransactionalTable(seed: 1)
        table.configuration.producerIdExpirationMilliseconds = 100_000
        try table.open()
        let log = try #require(table.log)
        let marker = EndTransactionMarker(outcome: .commit, coordinatorEpoch: 0).batch(
            producerId: 7, producerEpoch: 3, timestamp: 1000)
        log.append([marker], now: table.now, .marker(transactionVersion: 2))
        func fill() throws {
            for _ in 0..<12 { log.append([Fixture.batch(["v"], key: "k")], now: table.now) }
            log.updateHighWatermark(log.endOffset)
            try table.compact()
        }
        try fill()
        #expect(batchHeaders(try log.bytes(from: 0))[0].recordCount == 1)
        table.now += 100
        try fill()
        let bytes = try log.bytes(from: 0)
        let header = batchHeaders(bytes)[0]
        #expect(header.isControl && header.recordCount == 0 && header.producerId == 7)
        let emptied = bytes[..<header.totalLength]
        #expect(try emptied.withUnsafeBytes { try EndTransactionMarker(batch: $0) } == nil)
        try table.restart(clean: true, withoutSnapshots: true)
        let again = try #require(table.log)
        #expect(again.activeProducers().map(\.producerEpoch) == [3])
        let old = Fixture.batch(["x"], producerId: 7, epoch: 2, sequence: 0)
        #expect(again.append([old]) == [.refused(.invalidProducerEpoch)])
        // And so does a follower.
        let follower = try Fixture.open(SimulatedFileSystem(seed: 2))
        #expect(try Array(emptied).withUnsafeBytes { try follower.appendAsFollower($0, now: 1) } == 1)
        #expect(follower.activeProducers().map(\.producerEpoch) == [3])
    }
}

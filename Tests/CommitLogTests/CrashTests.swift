import RecordFormat
import Testing

@testable import CommitLog

/// A scripted life of a directory with one log, and what must be true of it after a crash.
private final class Life {
    let disk: SimulatedFileSystem
    let partition = PartitionName(topic: "t", partition: 0)
    var directory: LogDirectory?
    var log: Log?
    /// Every batch that was given to the log and may be in it, with the base offset it got or would get.
    var batches: [(base: Int64, next: Int64, bytes: [UInt8])] = []
    /// Below this everything must survive.
    var durable: Int64 = 0
    /// Below this nothing needs to survive.
    var start: Int64 = 0
    var sequence: Int32 = 0
    private var random: SplitMix64
    private var counter = 0

    init(seed: UInt64) {
        disk = SimulatedFileSystem(seed: seed)
        random = SplitMix64(seed: seed &+ 99)
    }

    static func configuration() -> LogConfiguration {
        var configuration = Fixture.configuration(segmentBytes: 600)
        configuration.retentionBytes = 2500
        return configuration
    }

    func open() throws {
        let opened = try LogDirectory.open(
            LogDirectory.Opening(
                path: "data", fileSystem: disk, clusterId: "c", nodeId: 1,
                configuration: { _ in Self.configuration() }, now: 1000))
        directory = opened.directory
        log = opened.directory.log(partition)
        if log == nil {
            log = try opened.directory.createLog(
                partition, topicId: "BwcHBwcHBwcHBwcHBwcHBw", configuration: Self.configuration(), now: 1000)
        }
    }

    private func append() throws {
        guard let log else { return }
        var tick: [[UInt8]] = []
        var next = log.endOffset
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            counter += 1
            let long = Int.random(in: 0..<8, using: &random) == 0
            let value = "\(counter)" + (long ? String(repeating: "-", count: 1100) : "")
            let values = Array(repeating: value, count: Int.random(in: 1...3, using: &random))
            // Each time from another epoch, so that epochs are written as well.
            var bytes = Fixture.batch(
                values, producerId: 5, epoch: 0, sequence: sequence, baseOffset: next, leaderEpoch: Int32(counter / 9))
            if bytes.count > 600 {
                bytes = Fixture.batch(
                    [String(repeating: "+", count: 400)], producerId: 5, epoch: 0,
                    sequence: sequence, baseOffset: next, leaderEpoch: Int32(counter / 9))
            }
            let header = bytes.withUnsafeBytes { RecordBatchHeader($0) }
            guard let header else { return }
            sequence += header.recordCount
            batches.append((next, header.nextOffset, bytes))
            next = header.nextOffset
            tick.append(bytes)
        }
        // One epoch a tick: the latest of its batches.
        let epoch = Int32(counter / 9)
        for index in batches.indices.suffix(tick.count) {
            batches[index].bytes.replaceSubrange(12..<16, with: withUnsafeBytes(of: epoch.bigEndian, Array.init))
        }
        let outcomes = log.append(tick, epoch: epoch)
        for outcome in outcomes {
            guard case .appended = outcome else { throw Stopped() }
        }
        log.updateHighWatermark(log.endOffset)
    }

    struct Stopped: Error {}

    /// The script: what happens, until it is over or the machine is gone.
    func live() throws {
        try open()
        for step in 0..<24 {
            try append()
            guard let log, let directory else { return }
            switch step % 8 {
            case 1, 4, 6:
                durable = max(durable, try log.sync())
            case 2:
                try directory.writeCheckpoints()
            case 3 where step > 8:
                start = max(start, log.startOffset)
                defer { start = max(start, log.startOffset) }
                try log.deleteRecords(before: log.startOffset + 2, now: 1000)
            case 5:
                defer { start = max(start, log.startOffset) }
                try log.applyRetention(now: 1000)
                try log.deletePendingFiles(now: 2000)
            case 7:
                let target = log.endOffset - 4
                if target > log.startOffset {
                    // A batch that lies only partly below goes wholly.
                    durable = min(durable, batches.last { $0.base <= target }?.base ?? target)
                    try log.truncate(to: target, now: 1000)
                    batches.removeAll { $0.next > target }
                    durable = min(durable, log.endOffset)
                    // The producer's next batch continues what is left.
                    sequence = log.activeProducers().first.map { $0.lastSequence + 1 } ?? 0
                }
            default: break
            }
            if step == 15 {
                try directory.close(now: 1000)
                durable = log.endOffset
                try open()
            }
        }
        try directory?.close(now: 1000)
        durable = log?.endOffset ?? 0
    }

    /// After the machine came back.
    func check(_ context: String) throws {
        try open()
        let log = try #require(log)
        #expect(log.endOffset >= durable, "lost records: \(context)")
        let from = max(start, log.startOffset)
        #expect(log.startOffset <= max(start, durable), "lost the oldest records: \(context)")
        let expected = batches.filter { $0.next > from && $0.base < log.endOffset }
        let stored = try log.bytes(from: from)
        #expect(stored == expected.flatMap(\.bytes), "other records: \(context)")
        #expect((expected.last?.next ?? log.endOffset) == log.endOffset, "half a batch: \(context)")
        // It goes on.
        let more = Fixture.batch(["after"], producerId: 6, epoch: 0, sequence: 0)
        let offset = log.endOffset
        #expect(log.append([more], epoch: 1000) == [.appended(baseOffset: offset, logAppendTime: -1)])
        #expect(try log.sync() == offset + 1)
        #expect(try log.values(from: offset) == ["after"])
        if let producer = log.activeProducers().first(where: { $0.producerId == 5 }), let last = expected.last {
            let header = try #require(last.bytes.withUnsafeBytes { RecordBatchHeader($0) })
            #expect(producer.lastSequence == header.lastSequence, "other producers: \(context)")
        }
        try directory?.close(now: 1000)
        // And a clean start finds the same.
        try open()
        #expect(try self.log?.values(from: offset) == ["after"])
    }
}

@Suite struct CrashTests {
    @Test(arguments: UInt64(1)...6) func everyCrashPointKeepsWhatWasDurable(seed: UInt64) throws {
        let whole = Life(seed: seed)
        try whole.live()
        let operations = whole.disk.operationCount
        #expect(operations > 200)
        for point in 1...operations {
            let life = Life(seed: seed)
            life.disk.crash(atOperation: point)
            do {
                try life.live()
            } catch {
                #expect(life.disk.hasCrashed, "seed \(seed), operation \(point): \(error)")
            }
            life.log = nil
            life.directory = nil
            life.disk.restart()
            try life.check("seed \(seed), operation \(point)")
        }
    }

    /// A second crash during the recovery from the first.
    @Test(arguments: UInt64(1)...4) func recoveryCanBeInterrupted(seed: UInt64) throws {
        let whole = Life(seed: seed)
        try whole.live()
        for point in stride(from: 20, through: whole.disk.operationCount, by: 23) {
            for second in 1...12 {
                let life = Life(seed: seed)
                life.disk.crash(atOperation: point)
                try? life.live()
                life.disk.restart()
                life.disk.crash(atOperation: point + second)
                try? life.open()
                life.log = nil
                life.directory = nil
                life.disk.restart()
                try life.check("seed \(seed), operations \(point) and \(second) more")
            }
        }
    }
}

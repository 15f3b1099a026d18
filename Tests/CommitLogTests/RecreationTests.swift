import Glibc
import RecordFormat
import Testing

@testable import CommitLog

/// A partition that is deleted and made again under the same name is another one.
@Suite struct RecreationTests {
    private let name = PartitionName(topic: "t", partition: 0)

    private func open(_ disk: SimulatedFileSystem) throws -> LogDirectory {
        try LogDirectory.open(
            LogDirectory.Opening(path: "data", fileSystem: disk, clusterId: "c", nodeId: 1, now: 1_700_000_000_000)
        ).directory
    }

    private func append(_ count: Int, to log: Log) throws {
        for number in 0..<count {
            var builder = RecordBatchBuilder()
            builder.append(key: nil, value: Array("\(number)".utf8), timestamp: 1_700_000_000_000)
            let bytes = try builder.build()
            bytes.withUnsafeBytes { memory in
                var appends = [PendingAppend(header: RecordBatchHeader(memory)!, bytes: memory)]
                log.append(&appends, leaderEpoch: 0, now: 1_700_000_000_000)
            }
        }
        try log.sync()
        log.updateHighWatermark(log.endOffset)
    }

    @Test("it does not inherit the start offset that its namesake left in a checkpoint", arguments: [50, 950])
    func checkpoints(_ count: Int) throws {
        let disk = SimulatedFileSystem(seed: 9)
        let directory = try open(disk)
        let old = try directory.createLog(name, topicId: nil, configuration: LogConfiguration(), now: 1)
        try append(1000, to: old)
        try old.deleteRecords(before: 900, now: 2)
        try directory.writeCheckpoints()
        try directory.deleteLog(name, unique: String(repeating: "a", count: 32), now: 3)
        let new = try directory.createLog(name, topicId: nil, configuration: LogConfiguration(), now: 4)
        try append(count, to: new)

        disk.restart()
        let log = try #require(try open(disk).log(name))
        #expect(log.startOffset == 0 && log.endOffset == Int64(count))
    }

    @Test("too few open files are no broken disk: appends go on when there are some again")
    func openFiles() throws {
        let disk = SimulatedFileSystem(seed: 9)
        let directory = try open(disk)
        var configuration = LogConfiguration()
        configuration.segmentBytes = 200
        let log = try directory.createLog(name, topicId: nil, configuration: configuration, now: 1)
        try append(1, to: log)
        disk.inject(.init(.open, code: EMFILE, times: 1000))
        for _ in 0..<5 { try append(1, to: log) }
        let refusedFrom = log.endOffset
        #expect(throws: LogDirectoryError.self) { try directory.writeCheckpoints() }
        #expect(!directory.health.isOffline)
        disk.clearFaults()
        try append(1, to: log)
        #expect(log.endOffset == refusedFrom + 1)
        try directory.writeCheckpoints()
    }

    @Test("delays at the end of their range do not overflow")
    func extremeConfiguration() throws {
        let disk = SimulatedFileSystem(seed: 9)
        let directory = try open(disk)
        var configuration = LogConfiguration()
        configuration.segmentBytes = 100
        configuration.fileDeleteDelayMilliseconds = .max
        configuration.deleteRetentionMilliseconds = .max
        configuration.minimumCompactionLagMilliseconds = .max
        configuration.retentionMilliseconds = 1
        let log = try directory.createLog(name, topicId: nil, configuration: configuration, now: 1)
        try append(5, to: log)
        #expect(try log.applyRetention(now: .max).deletedSegments > 0)
        configuration.cleanupPolicy = .compact
        log.updateConfiguration(configuration)
        _ = try LogCleaner().clean(log, now: 1_800_000_000_000)
        try directory.deleteLog(name, unique: String(repeating: "a", count: 32), now: .max - 1)
    }

    @Test("the high watermark does not go back when two report at once, in the wrong order")
    func watermark() throws {
        let directory = try open(SimulatedFileSystem(seed: 9))
        let log = try directory.createLog(name, topicId: nil, configuration: LogConfiguration(), now: 1)
        try append(10, to: log)
        log.updateHighWatermark(5)
        #expect(log.highWatermark == 10)
    }

    @Test("compaction takes any base timestamp where the broker's time replaced the records'")
    func extremeBaseTimestamp() throws {
        let disk = SimulatedFileSystem(seed: 9)
        let directory = try open(disk)
        var configuration = LogConfiguration()
        configuration.segmentBytes = 150
        configuration.cleanupPolicy = .compact
        configuration.minimumCleanableDirtyRatio = 0
        configuration.timestampType = .logAppendTime
        let log = try directory.createLog(name, topicId: nil, configuration: configuration, now: 1)
        let validator = RecordBatchValidator()
        for _ in 0..<4 {
            var builder = RecordBatchBuilder()
            builder.append(key: [1], value: [1], timestamp: 0)
            builder.append(key: [2], value: [2], timestamp: 0)
            builder.header.baseTimestamp = .min
            let bytes = try builder.build()
            try bytes.withUnsafeBytes { memory in
                let verdict = validator.validate(memory, rules: configuration.recordBatchRules, now: 1_700_000_000_000)
                guard case .rewritten(let header, let batch) = verdict else {
                    Issue.record("the broker's time was not put in: \(verdict)")
                    return
                }
                try batch.withBytes { stored in
                    var appends = [PendingAppend(header: header, bytes: stored)]
                    log.append(&appends, leaderEpoch: 0, now: 1_700_000_000_000)
                    try log.sync()
                }
            }
        }
        log.updateHighWatermark(log.endOffset)
        try directory.writeCheckpoints()
        let result = try #require(try LogCleaner().clean(log, now: 1_700_000_100_000))
        #expect(result.recordsAfter < result.recordsBefore)
    }
}

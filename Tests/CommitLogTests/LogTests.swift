import RecordFormat
import Testing

@testable import CommitLog

@Suite struct LogTests {
    let disk = SimulatedFileSystem(seed: 1)

    @Test func appendsAndReadsWhatItWasGiven() throws {
        let log = try Fixture.open(disk)
        let outcomes = log.append([Fixture.batch(["a", "b"]), Fixture.batch(["c"])], epoch: 3)
        #expect(
            outcomes == [
                .appended(baseOffset: 0, logAppendTime: -1), .appended(baseOffset: 2, logAppendTime: -1),
            ])
        #expect(log.endOffset == 3)
        #expect(try log.values() == ["a", "b", "c"])
        let stored = try log.bytes(from: 0)
        #expect(batchHeaders(stored).map(\.partitionLeaderEpoch) == [3, 3])
        #expect(batchHeaders(stored).map(\.baseOffset) == [0, 2])
        // All but the first 16 bytes is as it came.
        #expect(Array(stored[16..<40]) == Array(Fixture.batch(["a", "b"])[16..<40]))
    }

    @Test func largeAndSmallBatchesShareAWrite() throws {
        let log = try Fixture.open(disk)
        let large = String(repeating: "x", count: 5000)
        log.append((0..<300).map { Fixture.batch([$0 % 3 == 0 ? large : "\($0)"]) })
        let values = try log.values()
        #expect(values.count == 300)
        #expect(values[3] == large && values[299] == "299")
    }

    @Test func readsStopAtTheLimitAndNeverSplitTheFirstBatch() throws {
        let log = try Fixture.open(disk)
        for index in 0..<100 { log.append([Fixture.batch(["value-\(index)"])]) }
        let one = Fixture.batch(["value-00"]).count
        for offset in Int64(0)..<100 {
            let slice = try log.read(from: offset, maxBytes: 1, minOneBatch: true)
            #expect(slice.length == one || offset < 10)
            #expect(slice.firstBatchBaseOffset == offset)
            let limited = try log.read(from: offset, maxBytes: 1 << 20, minOneBatch: true, upTo: min(100, offset + 3))
            var bytes = [UInt8](repeating: 0, count: limited.length)
            _ = try bytes.withUnsafeMutableBytes { try log.copy(limited, into: $0) }
            #expect(batchHeaders(bytes).map(\.baseOffset) == Array(offset..<min(100, offset + 3)))
        }
        #expect(try log.read(from: 100, maxBytes: 10, minOneBatch: true).isEmpty)
        #expect(try log.read(from: 50, maxBytes: 10, minOneBatch: true, upTo: 50).isEmpty)
        #expect(throws: LogReadError.offsetOutOfRange(start: 0, end: 100)) {
            try log.read(from: 101, maxBytes: 10, minOneBatch: true)
        }
    }

    @Test func aReadFindsEveryOffsetInEverySegment() throws {
        let log = try Fixture.open(disk, Fixture.configuration(segmentBytes: 700))
        for index in 0..<200 { log.append([Fixture.batch(["\(index)", "\(index)b"])]) }
        #expect(log.segmentCount > 20)
        for offset in Int64(0)..<400 {
            let first = try #require(try log.records(from: offset, upTo: offset / 2 * 2 + 2).first)
            #expect(first.offset == offset)
        }
        // Again without what memory holds.
        try log.close(now: 0)
        let reopened = try Fixture.open(disk, Fixture.configuration(segmentBytes: 700))
        for offset in Int64(0)..<400 {
            #expect(try reopened.read(from: offset, maxBytes: 1, minOneBatch: true).firstBatchBaseOffset == offset / 2 * 2)
        }
    }

    @Test func aSliceOutlivesItsSegment() throws {
        let log = try Fixture.open(disk, Fixture.configuration(segmentBytes: 200))
        for index in 0..<10 { log.append([Fixture.batch(["\(index)"])]) }
        let slice = try log.read(from: 0, maxBytes: 1000, minOneBatch: true)
        log.updateHighWatermark(10)
        try log.deleteRecords(before: 8, now: 0)
        try log.deletePendingFiles(now: 1)
        #expect(log.startOffset == 8)
        var bytes = [UInt8](repeating: 0, count: slice.length)
        #expect(try bytes.withUnsafeMutableBytes { try log.copy(slice, into: $0) } == slice.length)
        #expect(batchHeaders(bytes).first?.baseOffset == 0)
        #expect(throws: LogReadError.offsetOutOfRange(start: 8, end: 10)) {
            try log.read(from: 7, maxBytes: 10, minOneBatch: true)
        }
    }

    @Test func retentionByTimeAndSizeKeepsWhatIsNotCommitted() throws {
        var configuration = Fixture.configuration(segmentBytes: 200)
        configuration.retentionMilliseconds = 50
        let log = try Fixture.open(disk, configuration)
        for index in 0..<10 { log.append([Fixture.batch(["\(index)"], timestamp: Int64(index) * 10)]) }
        #expect(try log.applyRetention(now: 1000).deletedSegments == 0)
        log.updateHighWatermark(10)
        // The segments hold two batches each; those of times up to 50 are too old at 101.
        #expect(try log.applyRetention(now: 101).deletedSegments == 3)
        #expect(log.startOffset == 6)
        configuration.retentionMilliseconds = -1
        configuration.retentionBytes = 300
        log.updateConfiguration(configuration)
        #expect(try log.applyRetention(now: 101).deletedSegments == 0)
        configuration.retentionBytes = 100
        log.updateConfiguration(configuration)
        #expect(try log.applyRetention(now: 101).deletedSegments == 1)
        #expect(try log.values(from: log.startOffset) == ["8", "9"])
        configuration.retentionMilliseconds = 0
        log.updateConfiguration(configuration)
        #expect(try log.applyRetention(now: 1000).deletedSegments == 1)
        #expect(log.startOffset == 10 && log.endOffset == 10)
        log.append([Fixture.batch(["next"])])
        #expect(try log.values(from: 10) == ["next"])
    }

    @Test func timestampsAreFoundInEverySegment() throws {
        let log = try Fixture.open(disk, Fixture.configuration(segmentBytes: 600))
        for index in 0..<100 {
            log.append([Fixture.batch(["\(index)"], timestamp: Int64(index) * 10, codec: index % 2 == 0 ? .lz4 : .none)])
        }
        for wanted in Int64(-5)..<991 {
            let found = try #require(try log.offset(forTimestamp: wanted))
            #expect(found.offset == max(0, (wanted + 9) / 10))
        }
        #expect(try log.offset(forTimestamp: 991) == nil)
        log.append([Fixture.batch(["late"], timestamp: 5)])
        #expect(try log.maxTimestamp() == TimestampedOffset(timestamp: 990, offset: 99, leaderEpoch: 0))
        log.updateHighWatermark(101)
        try log.deleteRecords(before: 50, now: 0)
        #expect(try log.offset(forTimestamp: 0)?.offset == 50)
    }

    @Test func epochsTellWhereLeadersEnded() throws {
        let log = try Fixture.open(disk)
        log.append([Fixture.batch(["a", "b"])], epoch: 1)
        log.append([Fixture.batch(["c"])], epoch: 4)
        #expect(log.endOffset(forEpoch: 1) == .init(epoch: 1, startOffset: 2))
        #expect(log.endOffset(forEpoch: 3) == .init(epoch: 1, startOffset: 2))
        #expect(log.endOffset(forEpoch: 4) == .init(epoch: 4, startOffset: 3))
        #expect(log.endOffset(forEpoch: 5) == nil)
        #expect(log.endOffset(forEpoch: 0) == .init(epoch: 0, startOffset: 0))
        try log.truncate(to: 2, now: 0)
        #expect(log.latestEpoch == 1)
        try log.close(now: 0)
        #expect(try Fixture.open(disk).leaderEpochs == [.init(epoch: 1, startOffset: 0)])
    }

    @Test func truncationRemovesWholeBatchesAndGoesOn() throws {
        for cut in Int64(0)...20 {
            let disk = SimulatedFileSystem(seed: UInt64(cut))
            let log = try Fixture.open(disk, Fixture.configuration(segmentBytes: 250))
            for index in 0..<10 { log.append([Fixture.batch(["\(index)", "\(index)b"])]) }
            #expect(try log.truncate(to: cut, now: 0) == cut / 2 * 2)
            log.append([Fixture.batch(["new"])])
            let kept = (0..<Int(cut / 2)).flatMap { ["\($0)", "\($0)b"] }
            #expect(try log.values() == kept + ["new"])
        }
    }

    @Test func aFollowerTakesOffsetsAsTheyCome() throws {
        let leader = try Fixture.open(disk, Fixture.configuration(segmentBytes: 300))
        for index in 0..<20 { leader.append([Fixture.batch(["\(index)"])], epoch: Int32(index / 7)) }
        let other = SimulatedFileSystem(seed: 2)
        let follower = try Fixture.open(other, Fixture.configuration(segmentBytes: 300))
        var bytes = try leader.bytes(from: 0)
        let whole = bytes
        // A fetch may end within a batch.
        bytes.removeLast(10)
        #expect(try bytes.withUnsafeBytes { try follower.appendAsFollower($0, now: 0) } == 19)
        let rest = try leader.bytes(from: 19)
        try rest.withUnsafeBytes { _ = try follower.appendAsFollower($0, now: 0) }
        #expect(try follower.bytes(from: 0) == whole)
        #expect(follower.leaderEpochs == leader.leaderEpochs)
        #expect(throws: AppendRefusal.corruptMessage) {
            try rest.withUnsafeBytes { try follower.appendAsFollower($0, now: 0) }
        }
    }

    @Test func tooLargeBatchesAreRefusedAlone() throws {
        var configuration = Fixture.configuration(segmentBytes: 400)
        configuration.maximumMessageBytes = 300
        let log = try Fixture.open(disk, configuration)
        let outcomes = log.append([
            Fixture.batch(["a"]), Fixture.batch([String(repeating: "x", count: 300)]), Fixture.batch(["b"]),
        ])
        #expect(outcomes[1] == .refused(.messageTooLarge))
        #expect(try log.values() == ["a", "b"])
        configuration.maximumMessageBytes = 1000
        log.updateConfiguration(configuration)
        #expect(
            log.append([Fixture.batch([String(repeating: "x", count: 500)])]) == [.refused(.recordListTooLarge)])
    }
}

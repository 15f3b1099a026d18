import Glibc
import RecordFormat
import Testing

@testable import CommitLog

@Suite struct FailureTests {
    let disk = SimulatedFileSystem(seed: 1)

    func batch(_ sequence: Int32, _ value: String = "v") -> [UInt8] {
        Fixture.batch([value], producerId: 7, epoch: 0, sequence: sequence)
    }

    @Test func aFullDiskRefusesAndLeavesEverythingAsItWas() throws {
        let log = try Fixture.open(disk)
        log.append([batch(0)])
        // The first piece of the write goes well, the second does not.
        disk.inject(.init(.write, pathSuffix: ".log", code: ENOSPC))
        let refused = log.append([batch(1), batch(1), batch(2)])
        #expect(refused == Array(repeating: .refused(.diskFull), count: 3))
        #expect(log.endOffset == 1 && !log.health.isOffline)
        #expect(try log.values() == ["v"])
        #expect(log.activeProducers().map(\.lastSequence) == [0])
        #expect(
            log.append([batch(1), batch(2)]) == [
                .appended(baseOffset: 1, logAppendTime: -1), .appended(baseOffset: 2, logAppendTime: -1),
            ])
        try log.sync()
        disk.restart()
        #expect(try Fixture.open(disk, clean: false).endOffset == 3)
    }

    /// A batch that begins a new write in the same tick must not follow one that was taken back.
    @Test func nothingFollowsABatchThatWasTakenBack() throws {
        // Two batches fill a segment, so that the third of the tick is written after a roll.
        let log = try Fixture.open(disk, Fixture.configuration(segmentBytes: Int64(batch(0).count * 2)))
        disk.inject(.init(.write, pathSuffix: ".log", code: ENOSPC))
        #expect(log.append([batch(0), batch(1), batch(2)]) == Array(repeating: .refused(.diskFull), count: 3))
        #expect(log.endOffset == 0 && !log.health.isOffline)
        #expect(
            log.append([batch(0), batch(1)]) == [
                .appended(baseOffset: 0, logAppendTime: -1), .appended(baseOffset: 1, logAppendTime: -1),
            ])
    }

    @Test func aFullDiskTakesTransactionsBack() throws {
        let log = try Fixture.open(disk)
        disk.inject(.init(.write, pathSuffix: ".log", code: ENOSPC))
        let open = Fixture.batch(["x"], producerId: 9, epoch: 0, sequence: 0, transactional: true)
        #expect(log.append([open]) == [.refused(.diskFull)])
        #expect(!log.hasOpenTransaction(producerId: 9, producerEpoch: 0))
        log.append([Fixture.batch(["plain"])])
        log.updateHighWatermark(1)
        #expect(log.lastStableOffset == 1)
    }

    /// A roll that finds no room, at any of its steps, leaves the old segment in use.
    @Test(arguments: [
        (FileSystemError.Operation.write, ".index"), (.write, ".timeindex"), (.write, ".snapshot"),
        (.write, ".txnindex"), (.open, ".snapshot"), (.open, ".index"), (.open, ".timeindex"), (.open, ".log"),
    ])
    func aFullDiskAtARollIsSurvived(operation: FileSystemError.Operation, suffix: String) throws {
        let configuration = Fixture.configuration(segmentBytes: 600)
        let log = try Fixture.open(disk, configuration)
        log.append([
            Fixture.batch(["t"], producerId: 9, epoch: 0, sequence: 0, transactional: true),
            EndTransactionMarker(outcome: .abort, coordinatorEpoch: 0).batch(
                producerId: 9, producerEpoch: 0, timestamp: 1000),
        ])
        disk.inject(.init(operation, pathSuffix: suffix, code: ENOSPC))
        var refusals = 0
        var sequence: Int32 = 0
        while sequence < 30 {
            if case .refused(let refusal)? = log.append([batch(sequence, "\(sequence)")]).first {
                #expect(refusal == .diskFull)
                refusals += 1
                #expect(refusals < 3)
            } else {
                sequence += 1
            }
        }
        #expect(refusals == 1 && !log.health.isOffline)
        let values = (0..<30).map(String.init)
        #expect(try log.values(from: 2) == values)
        try log.close(now: 1000)
        let reopened = try Fixture.open(disk, configuration)
        #expect(try reopened.values(from: 2) == values)
        for offset in Int64(0)..<32 {
            #expect(try reopened.read(from: offset, maxBytes: 1, minOneBatch: true).firstBatchBaseOffset == offset)
        }
        #expect(reopened.abortedTransactions(from: 0, to: .max).count == 1)
    }

    @Test func retentionNeedsNoSpace() throws {
        var configuration = Fixture.configuration(segmentBytes: 200)
        configuration.retentionMilliseconds = 0
        let log = try Fixture.open(disk, configuration)
        for index in Int32(0)..<10 { log.append([batch(index)]) }
        log.updateHighWatermark(10)
        disk.inject(.init(.open, code: ENOSPC, times: .max))
        disk.inject(.init(.write, code: ENOSPC, times: .max))
        #expect(try log.applyRetention(now: 1 << 40).deletedSegments > 3)
        #expect(!log.health.isOffline)
        disk.clearFaults()
        #expect(log.append([batch(10)]) == [.appended(baseOffset: 10, logAppendTime: -1)])
        #expect(try log.values(from: log.startOffset).count == Int(log.endOffset - log.startOffset))
    }

    @Test func aFailedWriteEndsTheDirectory() throws {
        let log = try Fixture.open(disk)
        log.append([batch(0)])
        disk.inject(.init(.write, pathSuffix: ".log", code: EIO))
        #expect(log.append([batch(1)]) == [.refused(.storageFailure)])
        #expect(log.health.isOffline)
        #expect(log.append([batch(1)]) == [.refused(.storageFailure)])
        #expect(throws: LogReadError.offline) { try log.read(from: 0, maxBytes: 10, minOneBatch: true) }
    }

    @Test func aFailedSynchronizationIsFinal() throws {
        let log = try Fixture.open(disk)
        log.append([batch(0)])
        disk.inject(.init(.synchronize, pathSuffix: ".log", code: EIO))
        #expect(throws: LogError.self) { try log.sync() }
        // The fault is gone, but what the disk kept is not known.
        #expect(throws: LogError.offline) { try log.sync() }
        #expect(log.durableOffset == 0)
        #expect(log.append([batch(1)]) == [.refused(.storageFailure)])
    }

    @Test(arguments: [".index", ".timeindex", ".txnindex", ".snapshot"], [0, 1, 2])
    func damagedSideFilesAreRebuilt(suffix: String, damage: Int) throws {
        let configuration = Fixture.configuration(segmentBytes: 900)
        func transaction(_ sequence: Int32) -> [[UInt8]] {
            [
                Fixture.batch(
                    ["t"], timestamp: Int64(sequence) * 5, producerId: 9, epoch: 0, sequence: sequence,
                    transactional: true),
                EndTransactionMarker(outcome: .abort, coordinatorEpoch: 0).batch(
                    producerId: 9, producerEpoch: 0, timestamp: Int64(sequence) * 5),
            ]
        }
        let log = try Fixture.open(disk, configuration)
        for index in Int32(0)..<40 {
            log.append([Fixture.batch(["\(index)"], timestamp: Int64(index), producerId: 7, epoch: 0, sequence: index)])
            if index % 5 == 0 { log.append(transaction(index / 5)) }
        }
        let values = try log.values()
        let aborted = log.abortedTransactions(from: 0, to: .max)
        let end = log.endOffset
        let times = try (0..<40).map { try log.offset(forTimestamp: $0) }
        #expect(Set(times.compactMap(\.?.offset)).count > 2)
        try log.close(now: 1000)
        let names = try disk.list("t-0").filter { $0.hasSuffix(suffix) }
        #expect(!names.isEmpty)
        for name in names {
            switch damage {
            case 0: try disk.removeFile("t-0/" + name)
            case 1: try disk.corrupt("t-0/" + name) { if !$0.isEmpty { $0.removeLast() } }
            default: try disk.corrupt("t-0/" + name) { bytes in for i in bytes.indices { bytes[i] = 0x5A } }
            }
        }
        // A removed transaction index cannot be told from one that never was, except by walking the segments.
        let clean = !(suffix == ".txnindex" && damage == 0)
        let reopened = try Fixture.open(disk, configuration, clean: clean)
        #expect(reopened.endOffset == end)
        #expect(try reopened.values() == values)
        #expect(reopened.abortedTransactions(from: 0, to: .max) == aborted)
        #expect(reopened.activeProducers().map(\.lastSequence) == [39, 7])
        for offset in 0..<end {
            #expect(try reopened.read(from: offset, maxBytes: 1, minOneBatch: true).firstBatchBaseOffset == offset)
        }
        #expect(try (0..<40).map { try reopened.offset(forTimestamp: $0) } == times)
    }

    @Test func aDamagedBatchCutsTheLogThereAndSaysSo() throws {
        let configuration = Fixture.configuration(segmentBytes: 400)
        let log = try Fixture.open(disk, configuration)
        for index in 0..<20 { log.append([Fixture.batch(["value \(index)"])]) }
        try log.sync()
        let names = try disk.list("t-0").filter { $0.hasSuffix(".log") }.sorted()
        try disk.corrupt("t-0/" + names[2]) { $0[$0.count - 3] ^= 1 }
        disk.restartProcess()
        let (reopened, report) = try Log.open(
            LogOpening(
                name: .init(topic: "t", partition: 0), path: "t-0", fileSystem: disk, configuration: configuration,
                now: 0))
        let cut = try #require(report.entries.first)
        #expect(cut.file == "t-0/" + names[2] && cut.reason == .checksumMismatch && cut.cutBytes > 0)
        #expect(report.entries.filter { $0.reason == .followsCut }.count == names.count - 3)
        let kept = reopened.endOffset
        #expect(try reopened.values() == (0..<Int(kept)).map { "value \($0)" })
        #expect(kept > 5 && kept < 20)
    }

    @Test func oldMessageFormatsAreNotCut() throws {
        try disk.createDirectory("t-0")
        // Offset 0, size 14 and a message of format 1 without key or value; its CRC-32 is right.
        var message: [UInt8] = [1, 0] + Array(repeating: 0, count: 8) + Array(repeating: 0xFF, count: 8)
        var crc = UInt32.max
        for byte in message {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
        }
        message = withUnsafeBytes(of: (~crc).bigEndian, Array.init) + message
        let entry = Array(repeating: UInt8(0), count: 11) + [UInt8(message.count)] + message
        try disk.open("t-0/00000000000000000000.log", .create).writeAll(entry)
        #expect(throws: LogOpenError.unsupportedMessageFormat(path: "t-0/00000000000000000000.log", magic: 1)) {
            try Fixture.open(disk, clean: false)
        }
        #expect(try disk.status(of: "t-0/00000000000000000000.log")?.size == Int64(entry.count))
    }
}
